"""What `deploy/` starts is understood by the command line, and its settings by the settings."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from perdure.cli.commands import hang
from perdure.cli.root import root
from perdure.core.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def understood(words: list[str]) -> None:
    """Parse a command line to its end, without running it."""
    hang()
    command: Any = typer.main.get_command(root)
    context = command.make_context("perdure", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert not context.args, context.args


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's keys have capitals
    parser.read_string(path.read_text("utf-8"))
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_there_is(path: Path) -> None:
    start = unit(path)["Service"]["ExecStart"]
    command = re.search(r"/bin/perdure (.*?)'?$", start)
    assert command is not None, start
    understood(shlex.split(command[1]))


@pytest.mark.parametrize("path", sorted((DEPLOY / "systemd").iterdir()), ids=lambda path: path.name)
def test_a_unit_is_one_to_systemd(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: `apt-get install systemd` brings it")
    # it looks for the program, too
    text = path.read_text("utf-8").replace(
        "/srv/agents/.venv/bin/perdure", shutil.which("true") or "/bin/true"
    )
    named = tmp_path / path.name.replace("@.", "@1.")
    for other in (DEPLOY / "systemd").iterdir():
        (tmp_path / other.name).write_text(
            other.read_text("utf-8").replace("/srv/agents/.venv/bin/perdure", "/bin/true")
        )
    named.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(named)], capture_output=True, text=True, check=False
    )
    about = [line for line in said.stderr.splitlines() if named.name in line]
    assert not about, said.stderr


def test_containers_start_what_there_is() -> None:
    services = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text("utf-8"))["services"]
    commands = [service["command"] for service in services.values() if service["image"] == "agents"]
    assert len(commands) == 3
    for command in commands:
        understood(command)
    image = (DEPLOY / "container" / "Containerfile").read_text("utf-8")
    last = re.search(r"^CMD (\[.*\])$", image, re.MULTILINE)
    assert last is not None
    understood(yaml.safe_load(last[1]))
    extras = re.search(r"perdure\[(.*?)\]", image)
    assert extras is not None
    known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    assert set(extras[1].split(",")) <= set(known)


def test_the_grace_is_shorter_than_what_stops_a_worker() -> None:
    service = unit(DEPLOY / "systemd" / "perdure-worker@.service")["Service"]
    grace = re.search(r"--grace (\d+)s", service["ExecStart"])
    assert grace is not None
    assert int(grace[1]) < int(service["TimeoutStopSec"])


def test_the_settings_of_the_page_are_settings() -> None:
    page = (REPOSITORY / "docs" / "team.md").read_text("utf-8")
    block = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert block is not None
    settings = Settings.model_validate(tomllib.loads(block[1]))
    assert settings.access.url == "https://perdure.example.org"


def test_nginx_reads_its_file(tmp_path: Path) -> None:
    if (nginx := shutil.which("nginx")) is None:
        pytest.skip("no nginx: `apt-get install nginx-light` brings it")
    text = (DEPLOY / "proxy" / "nginx.conf").read_text("utf-8")
    text = re.sub(r"^ *(listen|ssl_\w+).*$", "", text, flags=re.MULTILINE)
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    said = subprocess.run(
        [nginx, "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
