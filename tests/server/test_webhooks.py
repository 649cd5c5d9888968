"""Webhooks: what others send here, once; and what is sent to others, at least once and in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from perdure import App, verify_webhook
from perdure.core.hook_settings import HookSettings, WebhookSettings
from perdure.core.webhooks import signature
from perdure.server.webhooks import Webhooks
from tests.api.desk import Order, asked, desk, ended, until

SECRET = "whsec_c2VjcmV0IG9mIGEgdGVzdA=="


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def signed(body: Any, *, id: str = "msg_1", secret: str = SECRET, age: int = 0) -> dict[str, Any]:
    data = json.dumps(body).encode()
    at = int(time.time()) - age
    return {
        "content": data,
        "headers": {
            "authorization": "",
            "webhook-id": id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secret, id=id, timestamp=at, body=data),
        },
    }


async def test_a_webhook_starts_one_run_however_often_it_comes() -> None:
    app = desk()
    app.hooks = {"shop": HookSettings(secret_env="HOOK_SECRET", start="order", payload="data")}
    async with asked(app, worker=True) as client:
        body = {"data": {"item": "tea", "count": 2}}
        first, again = [await client.post("/hooks/shop", **signed(body)) for _ in range(2)]
        other = await client.post("/hooks/shop", **signed(body, id="msg_2"))
        row = await ended(client, first.json()["run"])
    assert (first.status_code, first.json()["fresh"], again.json()["fresh"]) == (202, True, False)
    assert first.json()["run"] == again.json()["run"] != other.json()["run"]
    assert (row["status"], row["principal"]) == ("succeeded", "system:hook-shop")


async def test_a_webhook_is_a_message_to_the_run_that_it_names() -> None:
    app = desk()
    app.hooks = {
        "reply": HookSettings(secret_env="HOOK_SECRET", signal="reply", run="run.id", payload="text")
    }
    async with asked(app, worker=True) as client:
        run = (await client.post("/runs", json={"agent": "receives", "run_id": "r"})).json()["run"]
        await until(client, run, lambda row: row["status"] == "waiting")
        told = await client.post("/hooks/reply", **signed({"run": {"id": "r"}, "text": "yes"}))
        row = await ended(client, run)
        late = await client.post("/hooks/reply", **signed({"run": {"id": "r"}, "text": "no"}, id="late"))
        nobody = await client.post("/hooks/reply", **signed({"run": {"id": "x"}, "text": "no"}, id="n"))
        nowhere = await client.post("/hooks/reply", **signed({"text": "no"}, id="m"))
    assert (told.status_code, told.json()["fresh"], row["status"]) == (202, True, "succeeded")
    assert (late.status_code, late.json()["fresh"]) == (202, False)
    assert (nobody.status_code, nowhere.status_code) == (404, 422)


async def test_what_is_not_signed_or_old_is_nobodys() -> None:
    app = desk()
    app.hooks = {"shop": HookSettings(secret_env="HOOK_SECRET", start="order")}
    swapped = signed({"item": "tea"}) | {"content": b'{"item": "gold"}'}  # S16
    async with asked(app) as client:
        answers = [
            await client.post("/hooks/shop", **swapped),
            await client.post("/hooks/shop", **signed({"item": "tea"}, secret="other")),
            await client.post("/hooks/shop", **signed({"item": "tea"}, age=3600)),
            await client.post("/hooks/shop", json={"item": "tea"}, headers={"authorization": ""}),
            await client.post("/hooks/nobody", **signed({"item": "tea"})),
        ]
        listed = await client.get("/runs")
    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 404]
    assert listed.json()["items"] == []


class Receiver(httpx2.AsyncBaseTransport):
    """Takes what is signed; the first `refusing` are answered with 503."""

    def __init__(self, *, refusing: int = 0) -> None:
        self.refusing = refusing
        self.came: list[tuple[str, Any]] = []
        self.taken = asyncio.Condition()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        told = verify_webhook(SECRET, dict(request.headers), body)
        async with self.taken:
            self.came.append((request.headers["webhook-id"], told))
            self.taken.notify_all()
        self.refusing -= 1
        return httpx2.Response(503 if self.refusing >= 0 else 204)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20), self.taken:
            await self.taken.wait_for(lambda: len(self.came) >= count)


@asynccontextmanager
async def telling(app: App, receiver: Receiver) -> AsyncGenerator[None]:
    await app.open()
    task = asyncio.create_task(Webhooks(app, transport=receiver).run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def crm(*events: str) -> dict[str, WebhookSettings]:
    return {"crm": WebhookSettings(url="https://crm.test/in", secret_env="HOOK_SECRET", events=tuple(events))}


async def driven(app: App, *runs: str) -> None:
    worker = app.new_worker()
    driving = asyncio.create_task(worker.run())
    app.endings.worker = driving
    for run in runs:
        await (await app.start("order", Order(item="tea"), run_id=run)).result()
    worker.stop()
    await driving


async def test_what_happens_is_told_once_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.server.webhooks.FIRST_PAUSE", 0.05)
    store = f"sqlite:///{tmp_path}/perdure.db"
    app = desk(store)
    app.webhooks = crm("run.ended")
    receiver = Receiver(refusing=2)
    async with telling(app, receiver):
        async with asyncio.timeout(20):
            while not await app.store.cells("webhook"):  # it begins with what happens from now on
                await app.store.changed(app.store.changes(), within=0.1)
        await driven(app, "a", "b")
        await receiver.has(4)
    ids = [ident for ident, _ in receiver.came]
    assert [told["data"]["run"] for _, told in receiver.came] == ["a", "a", "a", "b"]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert "tea" not in json.dumps(receiver.came)

    # another server goes on where that one stopped, and tells nothing twice
    await driven(app, "c")
    await app.close()
    again = desk(store)
    again.webhooks = crm("run.ended")
    later = Receiver()
    async with telling(again, later), asyncio.timeout(20), later.taken:
        await later.taken.wait_for(lambda: any(told["data"]["run"] == "c" for _, told in later.came))
    await again.close()
    # what was taken a moment before the end may come again, by its id
    assert [told["data"]["run"] for ident, told in later.came if ident not in ids] == ["c"]


async def test_of_two_servers_one_tells(tmp_path: Path) -> None:
    app = desk(f"sqlite:///{tmp_path}/perdure.db")
    app.webhooks = crm("run.*")
    receiver = Receiver()
    async with telling(app, receiver), telling(app, receiver):
        async with asyncio.timeout(20):
            while not await app.store.cells("webhook"):
                await app.store.changed(app.store.changes(), within=0.1)
        await driven(app, "a", "b")
        await receiver.has(6)
    await app.close()
    told = [(t["type"], t["data"]["run"]) for _, t in receiver.came]
    assert told == [(f"run.{what}", run) for run in "ab" for what in ("started", "claimed", "ended")]
