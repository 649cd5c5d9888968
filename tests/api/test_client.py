"""The client: the same calls with and without `await`, and the errors that the server raised."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from perdure import App, AsyncClient, Client
from perdure.core.errors import (
    AnswerRefused,
    ApiError,
    ConfigError,
    Forbidden,
    InvalidInput,
    RunConflict,
    RunFailed,
    Unauthenticated,
    UnknownRun,
)
from perdure.server import asgi
from tests.api.desk import HOST, BelievingGate, desk
from tests.api.transport import StreamingTransport
from tests.server.servers import serving

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def client_of(
    app: App, key: str = "default/ann/admin", *, worker: bool = True
) -> AsyncGenerator[AsyncClient]:
    application = asgi(app, gate=BelievingGate(), worker=worker)
    async with (
        application.life,
        AsyncClient(HOST, key=key, transport=StreamingTransport(application)) as client,
    ):
        yield client


def test_the_face_that_waits_is_made_of_the_one_that_awaits() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/make_sync_client.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_run_is_one_call() -> None:
    async with client_of(desk()) as client:
        assert await client.run("order", {"item": "tea", "count": 3}) == {"total": 9}
        (run,) = [run async for run in client.runs.list(status=["succeeded"])]
        entries = [entry.kind async for entry in client.runs.entries(run.run)]
    assert entries == ["started", "claimed", "result", "progress", "ended"]


async def test_the_errors_of_the_server_are_the_clients() -> None:
    async with client_of(desk()) as client:
        with pytest.raises(UnknownRun, match="`nope`"):
            await client.runs.show("nope")
        with pytest.raises(InvalidInput):
            await client.runs.start("order", {"no": 1})
        with pytest.raises(RunFailed) as failed:
            await client.run("fails")
        assert failed.value.status == "failed"
        await client.runs.start("order", {"item": "tea"}, run_id="r")
        with pytest.raises(RunConflict):
            await client.runs.start("order", {"item": "milk"}, run_id="r")


async def test_who_may_not_is_told_so() -> None:
    async with client_of(desk(), "default/ann/viewer") as client:
        with pytest.raises(Forbidden, match="role `operator`"):
            await client.runs.start("order", {"item": "tea"})
    async with client_of(desk(), "nothing") as client:
        with pytest.raises(Unauthenticated):
            await client.runs.show("r")


async def test_an_approval_is_for_what_was_shown() -> None:
    app = desk()
    async with client_of(app) as client:
        run = (await client.runs.start("refunds", 30)).run
        async for event in client.runs.events(run):
            if event.name == "run" and event.read()["reasons"] == ["approval"]:
                break
        (asked,) = await client.approvals.list(run)
        assert asked.asks is not None
        assert asked.asks["arguments"] == {"amount": 30}
        with pytest.raises(AnswerRefused, match="nobody approves what they have asked for themselves"):
            await client.approvals.approve(asked)
    async with client_of(desk(), "default/bob/approver", worker=False) as other:
        with pytest.raises(UnknownRun):  # it is in memory, of the other
            await other.approvals.approve(asked)


async def test_what_stands_open_comes_by_pages() -> None:
    app = desk()
    async with client_of(app) as client:
        runs = [(await client.runs.start("refunds", 30)).run for _ in range(3)]
        for run in runs:
            async for event in client.runs.events(run):
                if event.name == "run" and event.read()["reasons"] == ["approval"]:
                    break
        first = await client.approvals.page(limit=2)
        assert first.next is not None
        last = await client.approvals.page(limit=2, after=first.next)
        assert [a.run for a in (*first.items, *last.items)] == [a.run for a in await client.approvals.list()]
        assert {a.run for a in (*first.items, *last.items)} == {*runs}
        assert last.next is None
        for nonsense in ("nowhere", "1/r", "x/r/s", "²/r/s"):
            with pytest.raises(InvalidInput, match="not where a page ends"):
                await client.approvals.page(after=nonsense)


async def test_what_was_sent_once_is_sent_again_where_nobody_answered() -> None:
    app, lost = desk(), 2
    application = asgi(app, gate=BelievingGate(), worker=False)
    inner = StreamingTransport(application)

    class Losing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal lost
            response = await inner.handle_async_request(request)
            if lost:
                lost -= 1
                await response.aclose()
                raise httpx2.ReadError("the answer was lost")
            return response

    async with (
        application.life,
        AsyncClient(HOST, key="default/ann/admin", transport=Losing()) as client,
    ):
        started = await client.runs.start("order", {"item": "tea"})
        page = await client.runs.page()
    assert not started.fresh  # the first that arrived was it
    assert [run.run for run in page.items] == [started.run]


async def test_a_client_without_await(tmp_path: Path) -> None:
    def use(url: str) -> object:
        with Client(url, key="default/ann/admin") as client:
            assert client.health().status == "ok"
            result = client.run("order", {"item": "tea"})
            run = next(iter(client.runs.list())).run
            names = [event.name for event in client.runs.events(run)]
            with pytest.raises(UnknownRun):
                client.runs.show("nope")
            return result, names[-1]

    async with serving(desk(f"sqlite:///{tmp_path}/perdure.db"), worker=True) as (_, http):
        url = str(http.base_url).removesuffix("/api/v1/")
        assert await asyncio.to_thread(use, url) == ({"total": 3}, "end")


async def test_where_nobody_listens_it_is_said(unused_tcp_port: int) -> None:
    async with AsyncClient(f"http://127.0.0.1:{unused_tcp_port}", key="x") as client:
        with pytest.raises(ApiError, match="does not answer"):
            await client.runs.pause("r")


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`127\.0\.0\.1:8321` is no address"):
        AsyncClient("127.0.0.1:8321")
