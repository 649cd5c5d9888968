"""The fixture `cassette`: recorded once with `--record`, played from then on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.testing import Cassette, ModelServer
from perdure.testing.model_server import says

TEST = """
import json, os, urllib.request

import pytest
from perdure import App, Run

app = App("memory://")

@app.tool(effect="read")
def price(item: str) -> int:
    return int(os.environ.get("PRICE", "0"))

@app.agent("shop")
async def shop(run: Run, item: str) -> int:
    return await run.call(price, item)

def ask(question):
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": question}]}
    asked = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]

def test_price(cassette):
    assert ask("Price of a lamp?") == os.environ.get("EXPECTED", "40")

@pytest.mark.parametrize("item", ["lamp/1"])
def test_tools(cassette, item, perdure_app):
    import asyncio

    async def run():
        made = perdure_app(app)
        with cassette.tools(made):
            async with made:
                return await (await made.start("shop", item)).result()

    assert asyncio.run(run()) == 40
"""


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    (tmp_path / "test_shop.py").write_text(TEST)

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        words = ["-m", "pytest", "-q", "-p", "perdure.testing.plugin", "--strict-markers", *arguments]
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_test_is_recorded_once_and_then_needs_no_provider(
    tmp_path: Path, run_in: Callable[..., object]
) -> None:
    with ModelServer([says("40")]) as provider:
        there = {"OPENAI_BASE_URL": provider.openai_url, "OPENAI_API_KEY": "sk-not-for-your-eyes-1234567890"}
        recorded = run_in("--record", PRICE="40", **there)
    played = run_in()

    assert recorded.returncode == played.returncode == 0, recorded.stdout + played.stdout
    folder = tmp_path / "cassettes" / "test_shop"
    assert sorted(f.name for f in folder.iterdir()) == ["test_price.json", "test_tools-lamp-1.json"]
    assert "not-for-your-eyes" not in (folder / "test_price.json").read_text()
    assert [c.result for c in Cassette(folder / "test_tools-lamp-1.json").tools] == [40]


def test_a_test_that_fails_leaves_its_cassette_as_it_was(
    tmp_path: Path, run_in: Callable[..., object]
) -> None:
    with ModelServer(lambda _: says("40")) as provider:
        there = {"OPENAI_BASE_URL": provider.openai_url, "OPENAI_API_KEY": "none"}
        assert run_in("--record", "-k", "price", **there).returncode == 0
        file = tmp_path / "cassettes" / "test_shop" / "test_price.json"
        before = json.loads(file.read_text())
        failed = run_in("--record", "-k", "price", EXPECTED="41", **there)

    assert failed.returncode == 1
    assert json.loads(file.read_text()) == before


def test_what_was_not_recorded_says_how_to_record_it(run_in: Callable[..., object]) -> None:
    played = run_in("-k", "price")

    assert played.returncode == 1
    assert "there is no cassette `" in played.stdout
    assert "pytest --record 'test_shop.py::test_price'" in played.stdout
