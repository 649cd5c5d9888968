"""`perdure run` on a real terminal: a spinner in the foreground, none in the background."""

import os
import subprocess
import sys

import pytest

from .conftest import Cli

# A shell with job control: its own process group has the terminal, a job in the background has another.
SHELL = """
import fcntl, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
where, command = sys.argv[1], sys.argv[2:]
sys.exit(subprocess.run(command, process_group=0 if where == "background" else None).returncode)
"""


def on_terminal(cli: Cli, where: str, *arguments: str) -> str:
    """What a command writes to a terminal."""
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "perdure.cli", *cli.options, *arguments]
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL, where, *command],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 4096):
            said += part
    except OSError:  # the other end is closed: everybody has gone
        pass
    os.close(leader)
    assert shell.wait() == 0, said
    return said.decode()


HIDE_CURSOR = "\x1b[?25l"


@pytest.mark.parametrize("where", ["foreground", "background"])
def test_a_spinner_only_where_somebody_looks(where: str, cli: Cli) -> None:
    (cli.folder / "go").touch()  # `holds` need not hold
    said = on_terminal(cli, where, "run", "holds", "--id", "r")
    assert (HIDE_CURSOR in said) == (where == "foreground"), repr(said)
    assert "done" in said
