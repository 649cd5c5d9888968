"""A run that needs a user's account: it waits for the grant, goes on when that is there, and outlives what changes."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Credential, Principal, Run, RunStatus
from perdure.identity import MasterKeys
from perdure.journal import Store
from perdure.testing import OAuthServer
from perdure.vault import Vault
from tests.places import Place
from tests.vault.conftest import ANN, HUB, TENANT, Browser, Master, connect_browser, expire, me


class Desk:
    """A worker with one agent, whose tool uses the account of whoever the run acts for."""

    def __init__(self, store: Store, vault: Vault, server: OAuthServer) -> None:
        self.app = App(store, tenant=TENANT, credentials=vault)
        self.server = server
        self.used: list[tuple[str, int]] = []

        @self.app.tool(credential=HUB, scopes=["read"], effect="read")
        async def look(title: str, token: Credential) -> str:
            status = await asyncio.to_thread(me, token.reveal(), server)
            self.used.append((token.subject, status))
            return f"{title} as {token.subject}: {status}"

        @self.app.agent()
        async def desk(run: Run, title: str) -> list[str]:
            first = await run.call(look, title)
            await run.receive("go")
            return [first, await run.call(look, title)]

        self.desk = desk


@pytest.fixture
async def desk(store: Store, vault: Vault, server: OAuthServer) -> Desk:
    return Desk(store, vault, server)


async def waits_for(app: App, run: str, reason: str) -> None:
    handle = await app.handle(run)
    for _ in range(6000):
        record = await handle.record()
        if record.status is RunStatus.WAITING and any(r.startswith(reason) for r in record.reasons):
            return
        assert record.status in (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING), record
        await asyncio.sleep(0.01)
    raise AssertionError(f"{record.status} {record.reasons}")


async def test_a_run_waits_for_the_grant_and_goes_on_with_it(
    desk: Desk, vault: Vault, browser: Browser, store: Store
) -> None:
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "needs_connection")
        assert await vault.waiting(TENANT, ANN, HUB) == ["r1"]

        bobs = await connect_browser(vault, TENANT, "user:bob", HUB, tell=browser)
        assert bobs.woken == [], "nobody else's grant"
        anns = await connect_browser(vault, TENANT, ANN, HUB, tell=browser)

        assert [ref.id for ref in anns.woken] == ["r1"]
        assert not await store.cells("wanted_grant", tenant=TENANT)
        await desk.app.signal("r1", "go")
        assert await handle.result() == [f"door as {ANN}: 200"] * 2


async def test_a_grant_that_is_too_narrow_wakes_nobody(desk: Desk, vault: Vault, browser: Browser) -> None:
    async with desk.app:
        await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "needs_connection")

        narrow = await connect_browser(vault, TENANT, ANN, HUB, tell=browser, scopes=["write"])
        assert narrow.woken == []
        assert await vault.waiting(TENANT, ANN, HUB) == ["r1"]
        # what is asked for by itself is what is set, what was granted, and what runs wait for
        assert set(await vault.scopes_to_ask(TENANT, ANN, HUB)) == {"read", "write"}
        wide = await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
        assert [ref.id for ref in wide.woken] == ["r1"]


async def test_whoever_kept_a_grant_and_died_is_found_by_the_next_look_around(
    desk: Desk, vault: Vault, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "needs_connection")
        with monkeypatch.context() as dying:
            dying.setattr(vault._waking, "wake", lambda grant: asyncio.sleep(0, []))
            await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
        assert await vault.waiting(TENANT, ANN, HUB) == ["r1"]

        assert [ref.id for ref in await vault.sweep()] == ["r1"]
        assert await vault.sweep() == [], "once"
        await desk.app.signal("r1", "go")
        assert len(await handle.result()) == 2


async def test_s17_keys_rotate_and_the_credential_is_renewed_while_the_run_waits(
    desk: Desk, vault: Vault, store: Store, browser: Browser, master: Master, server: OAuthServer
) -> None:
    from perdure.vault.rotation import rotate

    await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "signal")

        await expire(vault)
        old = master.rotate()
        other = Vault(store, vault.providers, master)
        rotated = await rotate(other)
        assert rotated.done["users"] == 1
        master.keys.remove(old)  # the worker still has it in its memory, and the file no more

        await desk.app.signal("r1", "go")
        assert await handle.result() == [f"door as {ANN}: 200"] * 2
        reopened = Vault(store, vault.providers, master)
        assert await reopened.keeping.open((await reopened.grants(TENANT))[0])
    assert server.count("token", grant_type="refresh_token") == 1


async def test_the_account_taken_away_while_the_run_waits_it_waits_for_another(
    desk: Desk, vault: Vault, browser: Browser
) -> None:
    await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "signal")

        revoked = await vault.revoke(TENANT, ANN, HUB)
        assert revoked is not None
        assert revoked.told
        await desk.app.signal("r1", "go")
        await waits_for(desk.app, "r1", "needs_connection")

        await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
        assert await handle.result() == [f"door as {ANN}: 200"] * 2


@pytest.mark.soak_on("postgres")
async def test_a_provider_that_is_away_is_asked_again(
    desk: Desk, vault: Vault, browser: Browser, server: OAuthServer
) -> None:
    await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
    await expire(vault)
    server.fail(503, times=2)
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "signal")
        await desk.app.signal("r1", "go")
        assert await handle.result() == [f"door as {ANN}: 200"] * 2


async def test_s11_a_run_of_nobody_gets_no_account(desk: Desk, vault: Vault, browser: Browser) -> None:
    await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
    async with desk.app:
        handle = await desk.app.start(desk.desk, "door", run_id="r1")
        with pytest.raises(Exception, match="acts for nobody"):
            await handle.result()
    assert desk.used == []


async def test_s34_what_is_secret_is_nowhere_but_at_the_provider(
    place: Place,
    tmp_path: Path,
    store: Store,
    desk: Desk,
    vault: Vault,
    browser: Browser,
    server: OAuthServer,
    master: Master,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    await vault.connect_key(TENANT, ANN, "mail", "sk-canary-0123456789")
    async with desk.app:
        handle = await desk.app.start(
            desk.desk, "door", run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test")
        )
        await waits_for(desk.app, "r1", "needs_connection")
        await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
        await waits_for(desk.app, "r1", "signal")
        await expire(vault)
        await desk.app.signal("r1", "go")
        await handle.result()
        journal = b"".join([entry.payload or b"" for entry in await handle.entries()])
        shown = [repr(await vault.grants(TENANT)), repr(vault), repr(vault.client(HUB)), repr(vault.keeping)]
        everything = everything_in(place, store.url, tmp_path)
    canaries = [*server.secrets(), "sk-canary-0123456789", "a-clients-secret", *master.keys]
    canaries += [a.form[name] for a in server.asked for name in ("code", "code_verifier") if name in a.form]
    ours = [
        record for record in caplog.records if not record.name.startswith("authlib")
    ]  # that is the server
    logged = "\n".join(record.getMessage() for record in ours)

    assert len(canaries) >= 9
    assert b'"version"' in everything, "the cells are among it"
    for canary in canaries:
        assert canary.encode() not in everything
        assert canary.encode() not in journal
        assert canary not in json.dumps(shown)
        assert canary not in logged
        assert not any(canary in page for _, page in browser.shown)


def everything_in(place: Place, url: str, folder: Path) -> bytes:
    """All bytes of the store's files; of PostgreSQL all rows of all tables."""
    if place.kind == "sqlite":
        return b"".join(path.read_bytes() for path in sorted(folder.glob("perdure.db*")))
    tables = place.rows(url, "select tablename from pg_tables where schemaname = 'perdure'")
    found = b""
    for table in tables:
        for row in place.rows(url, f"select * from {table['tablename']}"):
            found += b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in row.values())
    return found


async def test_s34_an_error_of_a_provider_that_repeats_a_secret_does_not_pass_it_on(
    vault: Vault, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.core.errors import ProviderRefused
    from perdure.identity.oauth.web import Reply, Web

    await connect_browser(vault, TENANT, ANN, HUB, tell=browser)
    tokens = await expire(vault)

    async def repeats(self: Web, url: str, form: Any, headers: Any) -> Reply:
        return Reply(
            400, {"error": "invalid_request", "error_description": f"bad token {form['refresh_token']}"}
        )

    monkeypatch.setattr(Web, "post", repeats)
    with pytest.raises(ProviderRefused, match="bad token") as refused:
        await vault.client(HUB).refresh(tokens)
    assert tokens.refresh is not None
    assert tokens.refresh not in str(refused.value)


async def test_every_worker_looks_around(
    store: Store, providers: Any, browser: Browser, master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.engines.bookkeeping.LOOK_SECONDS", 0.05)
    monkeypatch.setenv("PERDURE_MASTER_KEY", "\n".join(master.keys))
    app = App(store, tenant=TENANT, providers=providers)

    @app.tool(credential=HUB)
    def use(token: Credential) -> str:
        return token.subject

    @app.agent()
    async def uses(run: Run) -> str:
        return await run.call(use)

    async with app:
        handle = await app.start(uses, run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test"))
        await waits_for(app, "r1", "needs_connection")
        elsewhere = Vault(store, providers, master)
        monkeypatch.setattr(elsewhere._waking, "wake", lambda grant: asyncio.sleep(0, []))
        await connect_browser(elsewhere, TENANT, ANN, HUB, tell=browser)

        assert await handle.result() == ANN


async def test_an_app_with_providers_has_a_vault(
    place: Place, tmp_path: Path, server: OAuthServer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    url = place.url(tmp_path / "app") if place.kind == "postgres" else f"sqlite:///{tmp_path}/app.db"
    providers = {HUB: server.settings(client_secret="env:HUB_SECRET").model_dump(exclude_unset=True)}
    app = App(url, tenant=TENANT, providers=providers)
    seen: list[str] = []

    @app.tool(credential=HUB)
    def use(token: Credential) -> str:
        seen.append(token.reveal())
        return token.subject

    @app.agent()
    async def uses(run: Run) -> str:
        return await run.call(use)

    async with app:
        handle = await app.start(uses, run_id="r1", on_behalf_of=Principal(subject=ANN, issuer="test"))
        await waits_for(app, "r1", "needs_connection")
        connected = await connect_browser(app.vault, TENANT, ANN, HUB, tell=browser)
        assert [ref.id for ref in connected.woken] == ["r1"]
        assert await handle.result() == ANN
    assert seen[0] in server.secrets()
