"""The file: what is wrong with a bad one is said; a good one is written at once, and reads back."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import ConfigError
from perdure.testing import Cassette, ModelServer
from perdure.testing.cassette import Exchange, ToolCalled
from perdure.testing.cassette.tape import dump, load, save

ONE: dict[str, Any] = {"number": 1, "provider": "openai", "path": "/v1/models", "method": "GET", "answer": {}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "has no `cassette`, which names the version of its format"),
        ('{"rules": []}', "has no `cassette`"),
        ('{"cassette": 2}', "is of format `2`, and this release reads format 1"),
        ('{"cassette": 1, "exchanges": [{"number": 1}]}', r"exchanges\.0\.provider"),
        ('{"cassette": 1, "exchange": []}', "exchange"),
        (json.dumps({"cassette": 1, "exchanges": [ONE, ONE]}), "has two exchanges of number 1"),
        (
            json.dumps({"cassette": 1, "exchanges": [{**ONE, "request": {"messages": {"as_in": 7}}}]}),
            "`messages` of exchange 1 of cassette .* is `as_in` 7, and no exchange before it has that",
        ),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        Cassette(path)


def test_a_file_that_is_not_there_is_told_with_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(ConfigError, match=f"`perdure record --out {path} COMMAND` makes it"):
        ModelServer(Cassette(path))


def test_what_was_there_stays_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.json"
    save(path, "old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


text = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
bodies = st.fixed_dictionaries(
    {"model": text},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries({"role": text, "content": st.text(min_size=60, max_size=90)})
        ),
        "tools": st.lists(values, max_size=3),
        "more": values,
    },
)


streams = st.none() | st.lists(st.tuples(st.none() | text, values), max_size=3)


@settings(max_examples=40)
@given(
    asked=st.lists(st.tuples(bodies, values, streams), max_size=4),
    called=st.lists(st.tuples(text, values), max_size=2),
    grows=st.booleans(),
)
def test_what_is_written_reads_back(
    asked: list[Any], called: list[Any], grows: bool, tmp_path_factory: Any
) -> None:
    exchanges: list[Exchange] = []
    talk: list[Any] = []
    for number, (body, answer, stream) in enumerate(asked, 1):
        talk = [*talk, *body.get("messages", ())]
        exchanges.append(
            Exchange(
                number=number, provider="openai", path="/v1/responses", status=200,
                request={**body, "messages": talk} if grows else body,
                answer=None if stream is not None else answer,
                stream=None if stream is None else tuple((name, data) for name, data in stream),
            )
        )  # fmt: skip
    tools = tuple(ToolCalled(tool=name, arguments={"a": value}, result=value) for name, value in called)
    path = tmp_path_factory.mktemp("tape") / "c.json"

    save(path, dump(exchanges, tools, recorded=date(2026, 11, 26)))

    assert load(path) == (tuple(exchanges), tools)
