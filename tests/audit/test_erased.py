"""What was erased, or is sealed under a key that is not here, is shown as such; what happened stays told and proven."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import App, Handle
from perdure.audit import Done, Selection, deeds_of, runs_of
from perdure.audit.bundle import Bundle, write_bundle
from perdure.audit.feed import Cursor, Feed
from perdure.identity import MasterKeys
from tests.approvals.desks import Till, approve, desk

SECRET = "Ada"


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def paid(app: App) -> Handle:
    run = await app.start(desk(app, Till()), [5], run_id="r", by="user:ann", subject="customer:7")
    await approve(app, run, by="user:boss")
    await run.result()
    return run


async def bundle(app: App, folder: Path) -> tuple[Bundle, str]:
    """A bundle of the person's runs, and all that stands in it."""
    wanted = Selection(tenant="default", person="customer:7")
    made = await write_bundle(app.store, wanted, _made(folder), made_by="user:auditor")
    return made, _text(folder)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _text(folder: Path) -> str:
    return "".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def check(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    return done.stdout


async def test_a_person_is_found_and_once_erased_only_that_it_happened(store_url: str, key: Path) -> None:
    async with App(store_url) as app:
        await paid(app)
        before, text = await bundle(app, key / "before")
        assert before.runs == 1 and f'"to": "{SECRET}"' in text
        about = Selection(tenant="default", person="customer:7")
        found = [d async for _, deeds in deeds_of(app.store, Done(tool="pay"), about) for d in deeds]
        assert [(d.behalf, d.approved_by) for d in found] == [("user:ann", ["user:boss"])]

        await app.erase("customer:7", by="user:officer")
        after, text = await bundle(app, key / "after")
        assert (after.runs, after.broken, after.entries >= before.entries) == (1, [], True)
        assert (
            f'"to": "{SECRET}"' not in text and SECRET not in (key / "after/pages/r/index.html").read_text()
        )
        assert "Erased" in text or "erased" in text
        assert "as it was: 1 runs" in check(key / "after")
        (call,) = [
            told
            for line in (key / "after/calls.jsonl").read_text().splitlines()
            if (told := json.loads(line))["step"] == "pay"
        ]
        assert (call["tool"], call["outcome"], call["erased"], call["on_behalf_of"]) == (
            "pay",
            "ok",
            True,
            "user:ann",
        )
        sent = [one.fact async for one in Feed(app.store, tenant="default", since=Cursor()).facts() if one]
        of_run = [fact for fact in sent if fact.ref.id == "r"]
        assert of_run and all(
            fact.erased and fact.behalf == "user:ann" for fact in of_run if fact.what == "tool.called"
        )
        assert SECRET not in str([fact.to_json() for fact in of_run])


async def test_without_the_key_what_is_sealed_is_as_if_erased(
    store_url: str, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(store_url) as app:
        await paid(app)
    monkeypatch.delenv("PERDURE_MASTER_KEY")
    async with App(store_url) as app:
        made, text = await bundle(app, key / "bundle")
        assert (made.runs, made.broken) == (1, [])
        assert f'"to": "{SECRET}"' not in text
        assert "as it was: 1 runs" in check(key / "bundle")
        pages = [page async for page in runs_of(app.store, Selection(tenant="default", agent="desk"))]
        assert len(pages) == 1
