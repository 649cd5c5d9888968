"""`init` writes what runs at once; `dev` follows what is written."""

import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import App
from perdure.cli.project import scaffold

from .conftest import Answer, Cli

Until = Callable[..., None]


def project(cli: Cli) -> None:
    """A new project in the test's folder, in which commands are run bare, as its README says."""
    assert cli("init", bare=True).code == 0


def bare(cli: Cli, *arguments: str) -> Answer:
    return cli.finish(cli.start(*arguments, bare=True))


def test_init_writes_a_project_that_runs_at_once(cli: Cli) -> None:
    said = cli("init", "new project", bare=True)
    assert said.code == 0
    assert sorted(p.name for p in Path("new project").iterdir()) == ["README.md", "agents.py", "perdure.toml"]
    assert "cd 'new project' && perdure dev" in said.stdout
    assert """perdure run welcome --input '{"name": "Ada"}'""" in said.stdout

    cli.folder = cli.folder / "new project"
    begun = bare(cli, "run", "welcome", "--no-wait", "--id", "ada", "--input", '{"name": "Ada"}')
    assert begun.code == 0, begun
    assert bare(cli, "worker", "--once").code == 0
    assert bare(cli, "approvals", "approve", "ada").code == 0
    assert bare(cli, "worker", "--once").code == 0
    assert (cli.folder / "outbox" / "Ada.txt").read_text().startswith("Welcome, Ada!")
    assert bare(cli, "doctor").code == 0
    agents = json.loads(bare(cli, "agents", "ls", "--json").stdout)
    assert agents["tools"] == [
        {"tool": "send", "effect": "write", "declared": True, "verify": True, "compensate": False}
    ]


def test_tables_that_are_there_to_be_found_hold_once_they_are_taken_in(tmp_path: Path) -> None:
    template = Path(scaffold.__file__).parent / "template" / "perdure.toml.txt"
    offered = re.compile(r"^# (?=\[[a-z._]+\]|[a-z_]+ = )", re.MULTILINE)
    taken_in = offered.sub("", template.read_text("utf-8"))
    (tmp_path / "perdure.toml").write_text(taken_in, "utf-8")
    assert {"trust", "watchers", "alerts", "telemetry", "access"} <= set(tomllib.loads(taken_in))
    app = App.from_config(tmp_path / "perdure.toml")
    assert app.watcher_settings is not None and app.watcher_settings.violations == "suspend"
    assert app.trust.enabled


def test_init_overwrites_nothing(cli: Cli) -> None:
    Path("agents.py").write_text("mine")
    said = cli("init", bare=True)
    assert said.code == 2
    assert "is there already; nothing was written" in said.stderr
    assert Path("agents.py").read_text() == "mine"
    assert not Path("perdure.toml").exists()


@pytest.mark.soak
def test_dev_reloads_when_a_file_changes(cli: Cli, until: Until) -> None:
    project(cli)
    dev = cli.start("dev", "--json", bare=True)
    events = iter(lambda: read(dev), None)

    def wait_for(event: str, **fields: Any) -> Any:
        for told in events:
            if told.get("event") == event and all(told.get(k) == v for k, v in fields.items()):
                return told
        raise AssertionError(f"no {event}")

    first = wait_for("ready")["pid"]
    assert bare(cli, "run", "welcome", "--no-wait", "--id", "ada", "--input", '{"name": "Ada"}').code == 0
    wait_for("entry", run="ada", kind="suspended")

    source = Path("agents.py").read_text()
    Path("agents.py").write_text(source + "\ndef broken(:\n")
    wait_for("changed", files=["agents.py"])
    wait_for("waiting")
    Path("agents.py").write_text(source.replace("return letter\n", 'return letter + "!"\n'))
    second = wait_for("ready")["pid"]
    assert second != first

    assert bare(cli, "approvals", "approve", "ada").code == 0
    ended = wait_for("entry", run="ada", kind="ended")
    assert ended["payload"]["result"].endswith("Ada.txt!")
    dev.send_signal(signal.SIGINT)
    said = cli.finish(dev)
    assert said.code == 0, said
    assert "Traceback" not in said.stderr


def read(process: Any) -> Any:
    line = process.stdout.readline()
    return json.loads(line) if line else None


CAREFUL = """
import pytest

from perdure import App, Run
app = App("sqlite:///own.db")

class Oops(Exception):
    pass

def trip() -> None:
    raise Oops("once")

@app.agent("careful")
async def careful(run: Run) -> str:
    try:
        await run.step("trip", trip)
    except Oops:
        caught = True
    await run.ask("Go on?")
    return f"caught {caught}"

if __name__ == "__main__":
    import asyncio

    async def main() -> None:
        async with app:
            handle = await app.start(careful, run_id="r")
            while (await handle.record()).reasons != ("approval",):
                await asyncio.sleep(0.01)

    asyncio.run(main())
"""


def test_what_a_script_began_a_worker_ends(cli: Cli) -> None:
    # its own error type was recorded as `__main__:Oops`, and must be caught on replay too
    Path("agents.py").write_text(CAREFUL)
    subprocess.run([sys.executable, "agents.py"], check=True)
    assert bare(cli, "approvals", "approve", "r").code == 0
    assert bare(cli, "worker", "--once").code == 0
    shown = json.loads(bare(cli, "runs", "show", "r", "--json").stdout)
    assert shown["result"] == "caught True", shown


@pytest.mark.soak
def test_code_that_does_not_replay_is_named_on_both_sides(cli: Cli) -> None:
    Path("agents.py").write_text(CAREFUL)
    assert bare(cli, "run", "careful", "--no-wait", "--id", "r").code == 0
    assert bare(cli, "worker", "--once").code == 0
    assert bare(cli, "approvals", "approve", "r").code == 0
    Path("agents.py").write_text(CAREFUL.replace('run.step("trip"', 'run.step("stumble"'))
    said = bare(cli, "run", "careful", "--id", "r")
    assert said.code == 1, said
    assert "error: run `r` waiting for code that replays" in said.stderr
    shown = bare(cli, "runs", "show", "r")
    assert "It does not replay" in shown.stdout
    assert "`trip`" in shown.stdout
    assert "`stumble`" in shown.stdout
    Path("agents.py").write_text(CAREFUL)
    assert bare(cli, "runs", "resume", "r").code == 0
    assert json.loads(bare(cli, "run", "careful", "--id", "r").stdout) == "caught True"
