"""`perdure budget` and `perdure cost`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import App, Run
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage


class Model:
    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text="yes", usage=Usage(input_tokens=100, output_tokens=50))


def perdure(store: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "perdure.cli", "--store", store, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def ask(store: str) -> None:
    app = App(store, prices={"models": {"fake:*": {"input": 1, "output": 10}}})
    app.models.register("fake", Model())

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model("fake:m", "go")

    app.run_sync(asker)


@pytest.mark.soak_on("postgres")
def test_budgets_are_set_raised_and_listed(store_url: str, tmp_path: Path) -> None:
    ask(store_url)  # makes the store; no budget applied, so it is in no account
    perdure(store_url, tmp_path, "budget", "set", "tenant", "--money", "5", "--by", "ada")
    ask(store_url)
    perdure(store_url, tmp_path, "budget", "raise", "tenant", "--money", "2", "--by", "bob")

    (standing,) = json.loads(perdure(store_url, tmp_path, "budget", "ls", "--json"))
    assert standing["limits"] == {"money": "7.000000000"}
    assert standing["spent"]["money"] == "0.000600000"  # as `perdure cost` has it
    assert standing["history"][1]["before"] == {"money": "5.000000000"}
    assert [change["by"] for change in standing["history"]] == ["ada", "bob"]
    (row,) = json.loads(perdure(store_url, tmp_path, "cost", "--by", "model", "--json"))["rows"]
    assert (row["model"], row["money"], row["model_calls"]) == ("fake:m", "0.001200000", 2)
    assert "fake:m,0.001200000,200,100" in perdure(store_url, tmp_path, "cost", "--by", "model", "--csv")


PROGRAM = """
from perdure import App, ModelReply, ModelRequest, Run

class Model:
    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text="yes")

app = App()
app.models.register("fake", Model())

@app.agent("asker")
async def asker(run: Run) -> str:
    return await run.model("fake:m", "go")
"""


def test_what_the_settings_say_holds_for_a_program_that_says_nothing(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "perdure.toml").write_text(
        'app = "program.py:app"\n'
        "[budget.agents.asker]\nmoney = 5\nper = 'day'\n"
        "[budget.run]\nmodel_calls = 0\non_limit = 'stop'\n"
    )
    command = [sys.executable, "-m", "perdure.cli", "--store", store_url, "run", "asker"]

    ended = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert ended.returncode == 1
    assert "the budget of this run holds 0 model calls" in ended.stderr
    (standing,) = json.loads(perdure(store_url, tmp_path, "budget", "ls", "--json"))
    assert (standing["budget"], standing["limits"]) == ("agent/asker", {"money": "5.000000000"})
    assert standing["source"] == "configuration"
