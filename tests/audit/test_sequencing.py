"""Heads come into the log within a second, whoever works, and whoever is killed."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import App, Run
from perdure.app import open_store
from perdure.app.auditing import audit_signer
from perdure.audit import Signer, newest_checkpoint, open_checkpoint, verify_store
from perdure.audit.keys import make_key, public_key
from perdure.core.audit_settings import AuditSettings
from perdure.core.errors import ConfigError
from perdure.core.settings import load_settings
from perdure.engines.exporter import exports
from perdure.engines.sequencer import LOOK_SECONDS, Sequencer
from perdure.identity import CannotUnseal, MasterKeys
from perdure.journal import Leaf, RunQuery, Store
from perdure.testing.conformance._scene import started

LOG = Signer.new("example.com/audit")
WRITING = Path(__file__).parent / "programs" / "writing.py"


async def every_leaf(store: Store) -> list[Leaf]:
    found: list[Leaf] = []
    while page := await store.leaves(after=len(found) - 1):
        found += page
    return found


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.soak)])
async def test_killed_at_any_moment_the_log_neither_forks_nor_loses_a_head(
    store_url: str, kills: int
) -> None:
    """Two processes write and integrate at once; one is killed again and again, somewhere, and comes back."""
    draw = random.Random(4)
    seed = base64.b64encode(LOG.private).decode()
    signed: dict[int, bytes] = {}

    async def begin(name: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(WRITING), store_url, name, seed, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    store = open_store(store_url)
    await store.open()
    steady = await begin("steady")
    try:
        for n in range(kills):
            victim = await begin(f"v{n}")
            await asyncio.sleep(draw.uniform(0.05, 0.4))
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            kept = await newest_checkpoint(store)
            if kept is not None:  # what somebody outside may have seen
                signed[kept.size] = kept.note.encode()
    finally:
        steady.kill()
        await steady.wait()
    size = await Sequencer(store, LOG).catch_up()
    report = await verify_store(store, [LOG.verifier], held=list(signed.values()))
    assert not report.faults
    assert len(report.held) == len(signed) > 0
    assert (report.leaves, report.behind) == (size, 0)
    heads: dict[str, int] = {}
    for leaf in await every_leaf(store):
        assert leaf.since == heads.get(leaf.run.id, 0) < leaf.seq, "none twice, and none left out between two"
        heads[leaf.run.id] = leaf.seq
    runs = await store.find(RunQuery(limit=100_000))
    assert heads == {run.ref.id: run.head for run in runs}
    await store.close()


async def test_a_worker_integrates_what_it_does_and_signs(tmp_path: Path) -> None:
    """By itself, within a second, and once more when it stops."""
    settings = made_key(tmp_path).model_copy(
        update={"to": (str(tmp_path / "away"),), "every": timedelta(seconds=1)}
    )
    app = App(f"sqlite:///{tmp_path}/perdure.db", audit=settings)

    @app.agent("greeter")
    async def greeter(run: Run, name: str) -> str:
        return await run.step("greet", lambda: f"hello {name}")

    async with app:
        handle = await app.start(greeter, "Ada")
        await handle.result()
        store = app.store
        async with asyncio.timeout(20):
            while (newest := await newest_checkpoint(store)) is None or (await store.log_lag()).runs:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS / 10)  # the store tells nobody of its log
        record = await store.get(handle.ref)
        assert record is not None
        (leaf,) = [leaf for _, leaf in await store.leaves_of([record.rid])][-1:]
        assert leaf.seq == record.head
        assert open_checkpoint(newest.note).checkpoint.origin == "example.com/audit"
        async with asyncio.timeout(20):
            while not (await exports(store)).get(str(tmp_path / "away"), {}).get("size"):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS / 10)
        last = await app.start(greeter, "Bob")
        await last.result()
    await app.open()
    assert (await app.store.log_lag()).runs == 0, "a worker that stops leaves nothing behind"
    await app.close()


async def test_the_command_that_does_what_workers_do(store_url: str, tmp_path: Path) -> None:
    """It integrates what others write, signs and sends it, and ends in good order."""
    settings = made_key(tmp_path)
    (tmp_path / "perdure.toml").write_text(
        f'[audit]\nkey = "audit.key"\nmaster_key = "{settings.master_key}"\nto = ["away"]\nevery = 1\n'
    )
    store = open_store(store_url)
    await store.open()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perdure.cli", "audit", "sequence", "--store", store_url, "--json"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"ready" in await process.stdout.readline()
    await started(store, "r1")
    async with asyncio.timeout(30):
        while not (tmp_path / "away" / "checkpoint").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    sent = open_checkpoint((tmp_path / "away" / "checkpoint").read_bytes()).checkpoint
    assert (sent.origin, sent.size) == ("example.com/audit", 1)
    process.terminate()
    assert await process.wait() == 0
    await store.close()


def made_key(folder: Path) -> AuditSettings:
    master = folder / "master.key"
    master.touch(mode=0o600)
    master.write_text(MasterKeys.new())
    make_key(folder / "audit.key", "example.com/audit", MasterKeys.open(master))
    return AuditSettings(key=folder / "audit.key", master_key=master)


def test_the_key_file_shows_nothing_and_opens_only_with_its_master(tmp_path: Path) -> None:
    settings = made_key(tmp_path)
    signer = audit_signer(settings)
    assert signer is not None and signer.verifier == public_key(settings.key)
    text = settings.key.read_text()
    assert base64.b64encode(signer.private).decode() not in text and signer.private.hex() not in text
    assert settings.key.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="has a key already"):
        make_key(settings.key, "example.com/audit", MasterKeys.open(settings.master_key))

    # the sealed half of another key, and another master key
    told = json.loads(text)
    other = make_key(tmp_path / "other.key", "example.com/other", MasterKeys.open(settings.master_key))
    settings.key.write_text(json.dumps({**told, "key": str(other)}))
    with pytest.raises(CannotUnseal):
        audit_signer(settings)
    settings.key.write_text(text)
    settings.master_key.write_text(MasterKeys.new())
    with pytest.raises(CannotUnseal):
        audit_signer(settings)
    assert audit_signer(settings.model_copy(update={"key": tmp_path / "none"})) is None


def test_what_the_program_says_goes_before_a_file_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's paths are its folder's, and the master key is that of the identities."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perdure.toml").write_text('[identity]\nmaster_key = "keys/master"\n')
    settings = load_settings()
    assert "audit" not in settings.model_fields_set
    assert settings.audit.key == tmp_path / ".perdure" / "audit.key"
    assert settings.audit.master_key == tmp_path / "keys" / "master"
    (tmp_path / "perdure.toml").write_text('[audit]\nto = ["away", "s3://bucket"]\n')
    settings = load_settings()
    assert "audit" in settings.model_fields_set
    assert settings.audit.to == (str(tmp_path / "away"), "s3://bucket")
