"""Checkpoints in a store that speaks S3: a real server on the loopback, asked by the real client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from perdure.audit import Signer, open_checkpoint
from perdure.audit.destinations import S3Place, destination_of
from perdure.core.audit_settings import AuditSettings
from perdure.core.errors import StoreUnavailable
from perdure.db.memory import MemoryStore
from perdure.engines.exporter import CheckpointExporter
from perdure.engines.sequencer import Sequencer
from perdure.testing.conformance._scene import started

pytest.importorskip("obstore", reason='no obstore: `pip install "perdure[s3]"`')
localbucket = pytest.importorskip("localbucket", reason="no S3 server: `pip install localbucket` brings one")

LOG = Signer.new("example.com/audit")


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authorised: list[str] = []
        self.url = ""


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "s3" / "audit").mkdir(parents=True)
    made = Server(tmp_path / "s3" / "audit")

    class Handler(localbucket.S3Handler):  # type: ignore[misc, name-defined]
        data_root = tmp_path / "s3"

        def parse_request(self) -> Any:
            parsed = super().parse_request()
            made.authorised.append(self.headers.get("authorization", "") if parsed else "")
            return parsed

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-no-request-shows")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


async def test_checkpoints_go_to_a_bucket_and_contradict_nothing(s3: Server) -> None:
    settings = AuditSettings(to=("s3://audit/perdure",), every=timedelta(minutes=1), s3_endpoint=s3.url)
    store = MemoryStore()
    await store.open()
    for name in ("a", "b"):
        await started(store, name)
        await Sequencer(store, LOG).catch_up()
        (state,) = (await CheckpointExporter.of(store, settings).send_all()).values()
        assert state["error"] is None
    folder = s3.folder / "perdure"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == [f"{1:020}", f"{2:020}"]
    assert open_checkpoint((folder / "checkpoint").read_bytes(), [LOG.verifier]).checkpoint.size == 2

    other = MemoryStore()
    await other.open()
    await started(other, "x")
    await Sequencer(other, LOG).catch_up()
    (state,) = (await CheckpointExporter.of(other, settings).send_all()).values()
    assert "it was cut" in state["error"]
    assert open_checkpoint((folder / "checkpoint").read_bytes()).checkpoint.size == 2

    assert (
        all(a.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/") for a in s3.authorised) and s3.authorised
    )
    assert not any("a-secret-that" in a for a in s3.authorised)


def test_what_is_there_and_what_is_not(s3: Server) -> None:
    place = destination_of("s3://audit", AuditSettings(s3_endpoint=s3.url))
    assert isinstance(place, S3Place)
    assert place.get("checkpoint") is None
    place.put("checkpoint", b"x")
    assert place.get("checkpoint") == b"x"
    with pytest.raises(StoreUnavailable, match=r"s3://nowhere/checkpoint` cannot be written"):
        S3Place("s3://nowhere", endpoint=s3.url).put("checkpoint", b"x")
