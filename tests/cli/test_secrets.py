"""What people and logs see of a store's URL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import App, ConfigError
from perdure.core.settings import shown_url, without_password

from .conftest import Cli

Until = Callable[..., None]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/prod", "postgresql://ada:***@db/prod"),
        ("postgresql://ada@db/prod", "postgresql://ada@db/prod"),
        ("postgresql://ada:a@b:c/d@db/prod?x=y@z", "postgresql://ada:***@db/prod?x=y@z"),
        ("postgresql:///prod?user=ada&password=s3cret&x=1", "postgresql:///prod?user=ada&password=***&x=1"),
        ("sqlite:////srv/perdure.db", "sqlite:////srv/perdure.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_an_error_does_not_tell_the_password() -> None:
    with pytest.raises(ConfigError) as refused:
        App("mysql://ada:s3cret@db/prod")

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://ada:s3cret@db/prod", "postgresql://ada@db/prod"),
        ("postgresql://ada@db:5432/prod?sslmode=require", "postgresql://ada@db:5432/prod?sslmode=require"),
        ("postgresql:///prod?password=s3cret", "postgresql:///prod"),
        ("postgresql:///prod?password=s3cret&user=ada", "postgresql:///prod?user=ada"),
        ("sqlite:////srv/a:b@c.db", "sqlite:////srv/a:b@c.db"),
    ],
)
def test_a_url_without_its_password(url: str, kept: str) -> None:
    assert without_password(url) == kept


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("command", [["worker", "--processes", "2"], ["dev"]], ids=lambda c: c[0])
def test_no_child_has_the_stores_url_among_its_arguments(
    command: list[str], cli: Cli, until: Until, tmp_path: Path
) -> None:
    (tmp_path / "desk.py").write_text(
        "from perdure import App\napp = App('memory://')\n@app.agent()\nasync def a(run, x=0): ..."
    )
    parent = cli.start("--store", cli.store, *command, "desk.py:app", "--json", bare=True)
    children: list[str] = []

    def begun() -> bool:
        children[:] = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        return all("perdure.cli" in arguments(c) for c in children) and bool(children)

    until(begun, "a child")
    assert parent.stdout is not None
    while json.loads(parent.stdout.readline())["event"] != "ready":
        pass
    for child in children:
        assert "test.db" not in arguments(child)
        assert f"PERDURE_STORE={cli.store}".encode() in Path(f"/proc/{child}/environ").read_bytes()
    parent.terminate()
    cli.finish(parent)
    assert os.path.exists("test.db")


def arguments(process: str) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().decode()
