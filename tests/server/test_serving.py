"""A real server on a port: its end in good order, and others on the same store that go on meanwhile."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import pytest

from perdure.core.errors import ConfigError
from perdure.server import asgi
from perdure.server.serving import Serving
from tests.api.desk import BelievingGate, desk, ended, until
from tests.server.servers import serving


async def test_a_stream_ends_in_good_order_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(desk()) as (server, client):
        run = (await client.post("/runs", json={"agent": "receives"})).json()["run"]
        async with client.stream("GET", f"/runs/{run}/events") as response:
            lines = response.aiter_lines()
            async for line in lines:
                if line == "event: run":
                    break
            server.stop()
            rest = [line async for line in lines]  # raises where the answer is cut without its end
    assert rest[0].startswith("data: ")
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


async def test_what_was_heard_is_not_told_again_by_the_next_server(tmp_path: Path) -> None:
    """A rolling upgrade: two servers and a worker on one store, the first of them leaves; nothing is lost."""
    store = f"sqlite:///{tmp_path}/perdure.db"
    async with serving(desk(store)) as (old, first), serving(desk(store), worker=True) as (_, second):
        run = (await first.post("/runs", json={"agent": "receives"})).json()["run"]
        heard: list[str] = []
        async with first.stream("GET", f"/runs/{run}/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    heard.append(line.removeprefix("id: "))
                if '"status":"waiting"' in line:
                    old.stop()
        await second.post(f"/runs/{run}/signal", json={"name": "reply", "payload": "yes"})
        row = await ended(second, run)
        rest = await second.get(f"/runs/{run}/events", headers={"last-event-id": heard[-1]})
        heard += [line.removeprefix("id: ") for line in rest.text.splitlines() if line.startswith("id: ")]
    assert row["status"] == "succeeded"
    assert heard == [str(n + 1) for n in range(row["entries"])]


async def test_a_run_goes_from_the_worker_that_leaves_to_the_next(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/perdure.db"
    async with serving(desk(store)) as (_, client):
        async with serving(desk(store), worker=True) as (_, beside):
            run = (await beside.post("/runs", json={"agent": "receives"})).json()["run"]
            await until(client, run, lambda row: row["status"] == "waiting")
        await client.post(f"/runs/{run}/signal", json={"name": "reply", "payload": "yes"})
        waits = (await client.get(f"/runs/{run}")).json()
        async with serving(desk(store), worker=True):
            row = await ended(client, run)
    assert waits["status"] == "waiting"
    assert row["status"] == "succeeded"


async def test_a_port_that_is_taken_is_said_so() -> None:
    async with serving(desk()) as (_, client):
        port = client.base_url.port
        again = Serving(asgi(desk(), gate=BelievingGate()), host="127.0.0.1", port=port or 0)
        with pytest.raises(ConfigError, match=rf"`127.0.0.1:{port}` cannot be listened on"):
            again.bind()


async def test_an_answer_is_sent_at_once_and_does_not_wait_for_what_was_sent_before() -> None:
    async with serving(desk()) as (_, client):
        await client.get("/runs")
        ours = client.base_url.port
        theirs = [s for s in gc.get_objects() if isinstance(s, socket.socket) and _serves(s, ours)]
        told = {s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in theirs}
    assert told == {1}


def _serves(here: socket.socket, port: int | None) -> bool:
    try:
        return here.family is socket.AF_INET and here.getsockname()[1] == port and bool(here.getpeername())
    except OSError:  # one that listens, or was closed
        return False
