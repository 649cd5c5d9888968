"""S34: a canary as a credential, and tools that say it wherever they can. It is found nowhere."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pydantic_core
import pytest

from perdure import App, Credential, Run, RunFailed, heartbeat
from perdure.core.codec import shape_of
from perdure.core.errors import Unserialisable
from perdure.core.redaction import Secrets
from perdure.testing.model_server import ModelServer, Turns, asks, says
from tests.credentials.wallet import ANN, Wallet
from tests.places import Place

CANARY = 'ghp-CANARY/4711+"ü"-of-ann'
MARK = "[credential of github]"

log = logging.getLogger("somebody.elses.library")


def spellings(secret: str) -> dict[str, str]:
    """As it may show, by what it is."""
    data = secret.encode()
    return {
        "plain": secret,
        "in JSON": json.dumps(secret)[1:-1],
        "in a URL": quote(secret, safe=""),
        "hexadecimal": data.hex(),
        "in Base64": base64.b64encode(data).decode(),
        "as a password": base64.b64encode(b"ann:" + data).decode(),
        "as another's": base64.urlsafe_b64encode(b"x" + data + b"tail").decode(),
    }


def needles(secret: str) -> list[bytes]:
    """What must be found nowhere: each spelling, or so much of one that it cannot be chance."""
    data = secret.encode()
    cores = [base64.b64encode(b"\0" * n + data)[4:-4] for n in range(3)]
    found = [secret.encode(), json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode()]
    return [*found, data.hex().encode(), *cores, b"CANARY"]


class Talkative:
    """Says what it should not."""

    def __init__(self, app: App) -> None:
        @app.tool(effect="read", credential="github")
        async def look(q: str, token: Credential) -> dict[str, Any]:
            secret = token.reveal()
            log.warning("looking for %s with %s and %r", q, secret, token)
            try:
                raise ValueError(f"no good: {secret}")
            except ValueError:
                log.exception("it failed with %s", q)
            heartbeat(f"with {secret}", done=1)
            return {"found": spellings(secret), secret: [1, {"deep": f"x{secret}y"}], "q": q}

        @app.tool(credential="github")
        def pay(q: str, token: Credential) -> None:
            error = PermissionError(f"HTTP 401 for Authorization: Bearer {token.reveal()}")
            error.request = f"token={quote(token.reveal(), safe='')}"  # type: ignore[attr-defined]
            raise error

        @app.tool(effect="idempotent", credential="github")
        async def note(q: str, token: Credential) -> str:
            self.kept = token.reveal()
            return "noted"

        @app.tool(effect="read")
        async def echo(q: str) -> str:
            return q

        @app.agent("child")
        async def child(run: Run, said: str) -> str:
            return said

        @app.agent("talkative")
        async def talkative(run: Run) -> Any:
            said = await run.model("openai:gpt-5", "go on", tools=[look])
            await run.call(note, "x")
            run.progress(f"noted with {self.kept}")
            echoed = await run.call(echo, self.kept)
            below = await run.child(child, self.kept)
            return [said, echoed, below, self.kept, await run.call(look, "again")]

        @app.agent("unlucky")
        async def unlucky(run: Run) -> None:
            await run.call(pay, "x")

        self.kept = ""
        self.agents = talkative, unlucky


def everything(place: Place, url: str) -> bytes:
    """All bytes of a store: its files, or every row of every table."""
    if place.kind == "sqlite":
        file = Path(url.removeprefix("sqlite:///"))
        return b"".join(f.read_bytes() for f in sorted(file.parent.glob(f"{file.name}*")))
    tables = place.sql(url, "select table_name from information_schema.tables where table_schema = 'perdure'")
    assert len(tables) > 5
    rows = [place.rows(url, f"select * from {name}") for (name,) in tables]
    return repr(
        [[bytes(v) if isinstance(v, memoryview) else v for v in row.values()] for t in rows for row in t]
    ).encode()


async def test_s34_a_canary_is_found_nowhere(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydantic_ai", reason='needs pydantic-ai: pip install "perdure[models]"')
    url = place.url(tmp_path)
    caplog.set_level(logging.DEBUG)
    wallet = Wallet()
    wallet.keep(CANARY)
    with ModelServer(Turns([asks("look", q="acme"), says("found it")])) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        app = wallet.app = App(url, credentials=wallet)
        talkative, unlucky = Talkative(app).agents
        async with app:
            said = await (await app.start(talkative, on_behalf_of=ANN)).result()
            failed = await app.start(unlucky, on_behalf_of=ANN)
            from perdure.testing import until_waiting

            await until_waiting(app, failed, "in_doubt")
            await app.settle(failed.id, "pay", happened=False)
            with pytest.raises(RunFailed) as caught:
                await failed.result()
            stored = everything(place, url)  # while it is open: the WAL too
        asked = b"".join(request.raw for request in server.requests)
    stored += everything(place, url)
    heard = {
        "store": stored,
        "log": "\n".join(caplog.handler.format(r) for r in caplog.records).encode(),
        "prompt": asked,
        "error": "".join(traceback.format_exception(caught.value)).encode(),
        "result": pydantic_core.to_json(said),
    }
    for where, what in heard.items():
        assert len(what) > 100, where
        assert [needle for needle in needles(CANARY) if needle in what] == [], where
    assert MARK.encode() in heard["store"] and MARK.encode() in heard["log"] and MARK.encode() in asked
    assert MARK in str(caught.value)
    assert said[1:4] == [MARK, MARK, MARK]


async def test_live_and_on_replay_it_is_the_same(store_url: str) -> None:
    wallet = Wallet()
    wallet.keep(CANARY)
    app = wallet.app = App(store_url, credentials=wallet)
    seen: list[Any] = []

    @app.tool(effect="read", credential="github")
    async def look(token: Credential) -> str:
        return f"with {token.reveal()}"

    @app.agent("desk")
    async def desk(run: Run) -> str:
        seen.append(await run.call(look))
        await run.receive("go", str)
        return seen[-1]

    async with app:
        run = await app.start(desk, on_behalf_of=ANN)
        while (await run.status()) != "waiting":
            await app.store.changed(app.store.changes(), within=0.1)
        await run.signal("go", "on")
        assert await run.result() == f"with {MARK}"
    assert seen == [f"with {MARK}"] * 2


def test_a_number_and_what_is_short() -> None:
    secrets = Secrets()
    secrets.know("1234567890", "pin")
    secrets.know("short", "word")
    payload = b'{"a":1234567890,"b":"x1234567890y","c":123456789012,"d":"short"}'
    assert pydantic_core.from_json(secrets.payload(payload)) == {
        "a": "[pin]",
        "b": "x[pin]y",
        "c": 123456789012,
        "d": "short",
    }
    assert secrets.payload(b'{"e": 1}') == b'{"e": 1}'
    with pytest.raises(Unserialisable, match="holds a secret"):
        secrets.kept(shape_of(int), b"1234567890", 1234567890)


def test_what_is_known_to_nobody_costs_nothing_and_says_all() -> None:
    secrets = Secrets()
    assert secrets.text(CANARY) == CANARY
    assert secrets.value([CANARY]) == [CANARY]


def test_many_secrets_of_one_run_in_threads() -> None:
    secrets = Secrets()

    async def know() -> None:
        await asyncio.gather(
            *(asyncio.to_thread(secrets.know, f"secret-number-{n:04}", "one") for n in range(100))
        )

    asyncio.run(know())
    assert all(secrets.text(f"secret-number-{n:04}") == "[one]" for n in range(100))
