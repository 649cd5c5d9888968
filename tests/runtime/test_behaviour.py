"""The digest of an agent's behaviour: the same everywhere for the same program, another for another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Handle, ModelReply, Run
from perdure.core.ids import step_name
from perdure.journal import Kind
from perdure.runtime.replay.behaviour import Behaviour, behaviour_of
from perdure.testing import MemoryStore
from tests.faults.processes import until

PROGRAM = """
from shop import prices
from shop.mail import send
import notes, json

from perdure import App, Run

app = App("memory://")
tool = app.tool(send)

@app.agent("desk")
async def desk(run: Run) -> str:
    from shop.lazy import later
    return "done"
"""

FILES = {
    "agents.py": PROGRAM,
    "notes.py": "TEXT = 'hello'\n",
    "unused.py": "nobody = 'imports this'\n",
    "shop/__init__.py": "",
    "shop/prices.py": "from . import rates\n",
    "shop/rates.py": "RATE = 3\n",
    "shop/mail.py": "def send(to: str, copies: int = 1) -> str:\n    'Send a mail.'\n    return to\n",
    "shop/lazy.py": "later = 1\n",
}

ASK = """
import sys, json
sys.path.insert(0, "FOLDER")
import agents
made = agents.app.behaviours.of(agents.desk)
print(json.dumps([made.digest, dict(made.parts)]))
"""


def written(folder: Path, **changes: str) -> Path:
    for name, text in {**FILES, **changes}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def asked(folder: Path, seed: str = "0") -> tuple[str, dict[str, str]]:
    """In a process of its own."""
    said = subprocess.run(
        [sys.executable, "-c", ASK.replace("FOLDER", str(folder))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=folder.parent,
    )
    digest, parts = json.loads(said.stdout)
    return digest, parts


def test_the_same_program_elsewhere_has_the_same_digest(tmp_path: Path) -> None:
    first = asked(written(tmp_path / "a"), seed="1")
    second = asked(written(tmp_path / "b" / "c", **{"unused.py": "another = 1\n"}), seed="2")
    assert first == second
    windows = tmp_path / "w"
    written(windows)
    (windows / "shop/rates.py").write_bytes(b"RATE = 3\r\n")
    assert asked(windows) == first


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("agents.py", PROGRAM + "\n# another comment\n", {"code"}),
        ("notes.py", "TEXT = 'bye'\n", {"code"}),
        ("shop/rates.py", "RATE = 4\n", {"code"}),
        ("shop/lazy.py", "later = 2\n", {"code"}),
        ("shop/mail.py", FILES["shop/mail.py"].replace("copies: int", "copies: float"), {"code", "tools"}),
        ("shop/mail.py", FILES["shop/mail.py"].replace("Send a mail", "Send mail"), {"code", "tools"}),
    ],
)
def test_a_change_of_what_it_imports_is_seen(tmp_path: Path, file: str, text: str, changed: set[str]) -> None:
    before, after = asked(written(tmp_path / "a")), asked(written(tmp_path / "b", **{file: text}))
    assert before[0] != after[0]
    assert {name for name in before[1] if before[1][name] != after[1][name]} == changed


def test_of_an_installed_package_every_module_counts(tmp_path: Path) -> None:
    unseen = "shop/unseen.py"
    before = asked(written(tmp_path / "a" / "site-packages", **{unseen: "x = 1\n"}))
    after = asked(written(tmp_path / "b" / "site-packages", **{unseen: "x = 2\n"}))
    assert {name for name in before[1] if before[1][name] != after[1][name]} == {"code"}


def test_code_of_perdure_counts_by_its_version_alone() -> None:
    assert digest_of(new_app(step_name)).parts["code"] == digest_of(new_app()).parts["code"]


def digest_of(app: App) -> Behaviour:
    return app.behaviours.of(app.find_agent("a"))


def new_app(*tools: Callable[..., Any], effect: Any = "read") -> App:
    app = App("memory://")

    @app.agent("a")
    async def a(run: Run) -> None: ...

    for tool in tools:
        app.tool(effect=effect)(tool)
    return app


class Strange:
    """A type without a schema."""


def test_tools_count_with_effect_and_parameters_and_not_by_address() -> None:
    def plain(n: int, s: object = Strange) -> int:
        return n

    def strange(n: Strange, s: Any = Strange()) -> None: ...

    same = digest_of(new_app(plain, strange))
    assert same == digest_of(new_app(strange, plain))
    assert same.parts["tools"] != digest_of(new_app(plain)).parts["tools"]
    assert same.parts["tools"] != digest_of(new_app(plain, strange, effect="write")).parts["tools"]


class Provider:
    async def request(self, model: str, request: Any) -> ModelReply:
        return ModelReply(text="")


def test_a_provider_or_a_tool_that_comes_later_counts() -> None:
    app = new_app()
    before = digest_of(app)
    assert digest_of(app) is before, "made once"
    app.models.register("own", Provider())
    after = digest_of(app)
    assert before.parts["models"] != after.parts["models"] and before.parts["code"] == after.parts["code"]
    app.tool(digest_of)
    assert digest_of(app).parts["tools"] != after.parts["tools"]


def test_a_function_without_a_file_counts_by_what_it_does() -> None:
    def made(body: str) -> Behaviour:
        space: dict[str, Any] = {"__name__": "nowhere"}
        exec(f"async def a(run):\n    {body}\n", space)
        app = App("memory://")
        agent = app.agent("a")(space["a"])
        return behaviour_of(agent, [], models=[], perdure="1")

    assert made("return 1") == made("return 1")
    assert made("return 1") != made("return 2")
    assert made("return [x for x in run]") == made("return [x for x in run]")


async def test_a_behaviour_that_cannot_be_told_stops_no_run() -> None:
    app = App("memory://")

    @app.agent("a")
    async def a(run: Run) -> str:
        return "done"

    async with app:
        app.tools["odd"] = object()  # type: ignore[assignment]
        run = await app.start(a)
        assert await run.result() == "done"
        claimed = next(e for e in await run.entries() if e.kind == Kind.CLAIMED)
    assert json.loads(claimed.payload)["behaviour"]["digest"] == "unknown"


async def test_a_journal_holds_the_parts_once_and_again_where_they_change() -> None:
    store = MemoryStore()

    async def a(run: Run) -> str:
        return await run.receive("word", str)

    async def suspended(run: Handle, times: int) -> bool:
        return [e.kind for e in await run.entries()].count(Kind.SUSPENDED) == times

    provided = App(store)
    provided.models.register("own", Provider())
    for n, app in enumerate((App(store), App(store), provided), start=1):
        app.agent("a")(a)
        await store.open()
        run = await app.start("a", run_id="r")
        if n > 1:
            await app.resume("r")
        async with app:
            await until(lambda run=run, n=n: suspended(run, n), f"it was driven {n} times")
    entries = await store.read(run.ref)
    told = [json.loads(e.payload)["behaviour"] for e in entries if e.kind == Kind.CLAIMED]
    assert [list(claim) for claim in told] == [["digest", "parts"], ["digest"], ["digest", "parts"]]
    first, same, other = (claim["digest"] for claim in told)
    assert first == same != other
    assert {n for n in told[0]["parts"] if told[0]["parts"][n] != told[2]["parts"][n]} == {"models"}
