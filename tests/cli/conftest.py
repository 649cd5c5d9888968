"""A store of its own for each test, and the CLI on it: in this process, and as a process."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing

from perdure.cli.commands import hang
from perdure.cli.root import root

SCENE = Path(__file__).with_name("cli_scene.py")
hang()
# The tree of commands is made once: to make it takes longer than most commands that are run here.
typer.testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]

PATIENCE = 60.0
"""Seconds after which a condition counts as never coming true."""


class Answer:
    """What a command said."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def lines(self) -> list[Any]:
        """Stdout as JSON lines."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def json(self) -> Any:
        """Stdout as the one JSON value that it is."""
        (value,) = self.lines
        return value


class Cli:
    """`perdure` on the test's own store, in the test's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"sqlite:///{folder / 'test.db'}"
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def options(self) -> list[str]:
        return ["--store", self.store, "--app", f"{SCENE}:app"]

    def __call__(
        self, *arguments: str, input: str | None = None, bare: bool = False, columns: str = "120"
    ) -> Answer:
        """In this process."""
        given = [*arguments] if bare else [*self.options, *arguments]
        result = typer.testing.CliRunner().invoke(root, given, input=input, env={"COLUMNS": columns})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str, bare: bool = False) -> subprocess.Popen[str]:
        """As a process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "perdure.cli", *([] if bare else self.options), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Answer:
        """Wait for a process that `start` began."""
        out, err = process.communicate(timeout=PATIENCE)
        return Answer(process.returncode, out, err)

    def begin(self, agent: str, run: str, *options: str) -> str:
        """A run that nobody works on yet."""
        answer = self("run", agent, "--no-wait", "--id", run, *options)
        assert answer.code == 0, answer
        return run

    def work(self) -> None:
        """Work until nothing is due."""
        answer = self("worker", "--once")
        assert answer.code == 0, answer

    def record(self, run: str) -> Any:
        answer = self("runs", "show", run, "--json")
        assert answer.code == 0, answer
        return answer.json


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        monkeypatch.delenv(name)
    # What ends the process although a thread still runs must not end that of the tests.
    monkeypatch.setattr(os, "_exit", sys.exit)
    # A worker has its process to itself, and says to the collector what stays in it; here that is the tests' to say.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
    sys.modules.pop("cli_scene", None)  # a process loads its app once; here many commands share one
    made = Cli(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()  # not read to its end: a process that outlived its parent may hold the other


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition, not for a time."""

    def wait(condition: Callable[[], object], what: str = "the condition") -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"{what} did not come true"
            time.sleep(0.02)

    return wait
