"""The payables demo, run once as a user runs it; each test reads one of its promises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the agent talks to its model through the extra `models`")
pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
pytest.importorskip("authlib", reason='no OAuth: `pip install "perdure[vault]"`')

DEMO = Path(__file__).resolve().parents[2] / "examples" / "payables" / "demo.py"
PROMISES = (
    "the bank knows which agent paid, and for whom",
    "without the clerk's own account it waited, and took no other",
    "nothing was paid before the manager had signed, and once after",
    "no forged yes counted",
    "keys were rotated and the clerk's login renewed while it waited",
    "an account that only the invoice names was not paid",
    "what a mail asks for did not leave the house",
    "a mail that wants the rent twice got it once",
    "what the clerk may not do, the agent did not do for him",
    "a worker was killed in the payment, which was made once",
    "a stolen token is worth nothing",
    "the auditor needs a bundle and a key, and sees what was changed",
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """In a process group of its own, so that nothing of it outlives a test that fails."""
    process = subprocess.Popen(
        [sys.executable, str(DEMO), "--json", "--keep", str(tmp_path_factory.mktemp("office") / "kept")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=170)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert out, err
    return json.loads(out)


@pytest.mark.parametrize("promise", PROMISES)
def test_it_keeps_its_promise(played: dict[str, Any], promise: str) -> None:
    assert played["checks"][promise], json.dumps(played, indent=1)[:20_000]


def test_it_promises_nothing_else(played: dict[str, Any]) -> None:
    assert set(played["checks"]) == set(PROMISES)
