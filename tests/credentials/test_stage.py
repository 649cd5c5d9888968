"""The stage `credential`: whose account a tool gets, what the journal says of it, and what happens without one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import (
    DID_NOT_HAPPEN,
    App,
    ConfigError,
    Credential,
    Happened,
    NeedsConnection,
    Principal,
    Retry,
    Run,
    RunFailed,
)
from perdure.core.credentials import Wanted
from perdure.testing import survives
from tests.credentials.wallet import ANN, Wallet, issues, kinds, until_waiting, until_wanted, verdicts, wanted

CANARY = "ghp-canary-4711-do-not-leak"


@pytest.fixture
def wallet() -> Wallet:
    return Wallet()


def opened(url: str, wallet: Wallet) -> App:
    app = wallet.app = App(url, credentials=wallet)
    return app


async def test_a_tool_gets_the_users_own_account_and_the_journal_a_handle(
    store_url: str, wallet: Wallet
) -> None:
    app, sent = opened(store_url, wallet), list[str]()
    desk = issues(app, sent, scopes=["repo"])
    wallet.keep(CANARY)
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=ANN, run_id="r")
        assert await run.result() == "broken by user:ann"
        entries = await run.entries()
    assert sent == [CANARY]
    assert wallet.asked == [
        Wanted(
            tenant="default",
            subject="user:ann",
            provider="github",
            scopes=("repo",),
            agent="desk",
            run="r",
            step="open_issue",
        )
    ]
    assert kinds(entries, "open_issue") == ["verdict", "intent", "result"]
    told = pydantic_core.from_json(next(e for e in entries if e.key == "open_issue").payload)
    assert told == {
        "stage": "credential",
        "verdict": "granted",
        "tool": "open_issue",
        "provider": "github",
        "subject": "user:ann",
        "scopes": ["repo"],
        "version": 1,
        "expires_at": None,
    }
    assert all(CANARY.encode() not in e.payload for e in entries)


@pytest.mark.parametrize("effect", ["read", "idempotent", "write"])
async def test_it_is_no_argument_of_anybody(effect: Any, wallet: Wallet) -> None:
    app = opened("memory://", wallet)
    wallet.keep(CANARY)

    @app.tool(effect=effect, credential="github")
    def look(repo: str, token: Credential) -> str:
        return f"{repo} {token.reveal() == CANARY}"

    @app.agent("desk")
    async def desk(run: Run) -> list[str]:
        forged = Credential("forged", provider="github", subject="user:ann")
        return [await run.call(look, "a"), await run.call(look, repo="b", token=forged)]

    assert list(look.schema()["properties"]) == ["repo"]
    async with app:
        run = await app.start(desk, on_behalf_of=ANN)
        assert await run.result() == ["a True", "b True"]


async def test_s11_without_a_grant_the_run_waits_and_is_told_how_to_connect(
    store_url: str, wallet: Wallet
) -> None:
    app, sent = opened(store_url, wallet), list[str]()
    desk = issues(app, sent, scopes=["repo"])
    wallet.keep("of bob", subject="user:bob")
    wallet.keep("of the service", subject="system:desk")
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=ANN, run_id="r")
        told = await until_wanted(app)
        assert {name: told[name] for name in ("provider", "subject", "scopes", "run", "step")} == {
            "provider": "github",
            "subject": "user:ann",
            "scopes": ["repo"],
            "run": "r",
            "step": "open_issue",
        }
        await until_waiting(run, app)
        waiting = pydantic_core.from_json((await run.entries())[-2].payload)
        assert waiting["connect"] == "perdure connect github --user ann"
        assert sent == []
        assert await wallet.connect(CANARY) == 1
        assert await run.result() == "broken by user:ann"
        assert await wanted(app) == []
        assert [told["verdict"] for told in await verdicts(run)] == ["connected", "granted"]
    assert sent == [CANARY]


@pytest.mark.parametrize(
    "by",
    [
        None,
        Principal(subject="user:bob"),  # whose account is there, but nobody vouched for the name
        Principal(subject="system:nightly", issuer="test"),
        Principal(subject="agent:other", issuer="test"),
        Principal(subject="schedule:daily"),
    ],
    ids=str,
)
async def test_s11_whoever_cannot_connect_gets_an_error(
    by: Principal | None, store_url: str, wallet: Wallet
) -> None:
    app, sent = opened(store_url, wallet), list[str]()
    desk = issues(app, sent)
    wallet.keep("of bob", subject="user:bob")
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=by)
        with pytest.raises(RunFailed, match="NeedsConnection"):
            await run.result()
        assert await wanted(app) == []
    assert sent == []


async def test_a_system_with_a_grant_of_its_own_uses_that(wallet: Wallet) -> None:
    app, sent = opened("memory://", wallet), list[str]()
    desk = issues(app, sent)
    wallet.keep("its own", subject="system:nightly")
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=Principal(subject="system:nightly", issuer="test"))
        assert await run.result() == "broken by system:nightly"
    assert sent == ["its own"]


async def test_s11_a_source_that_gives_another_users_credential_is_not_believed(wallet: Wallet) -> None:
    app, sent = opened("memory://", wallet), list[str]()
    desk = issues(app, sent)

    async def anybodys(wanted: Wanted) -> Credential:
        return Credential("of bob", provider="github", subject="user:bob")

    wallet.credential = anybodys  # type: ignore[method-assign]
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=ANN)
        with pytest.raises(RunFailed, match="gave that of `user:bob`"):
            await run.result()
    assert sent == []


async def test_nobody_connects_in_time(store_url: str, wallet: Wallet) -> None:
    app, sent = opened(store_url, wallet), list[str]()

    @app.tool(credential="github", connect_within=timedelta(milliseconds=50))
    async def open_issue(title: str, token: Credential) -> str:
        sent.append(title)
        return title

    @app.agent("desk")
    async def desk(run: Run) -> str:
        try:
            return await run.call(open_issue, "broken")
        except NeedsConnection as missing:
            return f"{missing.provider} {missing.subject}: {missing}"

    async with app:
        run = await app.start(desk, on_behalf_of=ANN)
        said = await run.result()
        assert "in time. To connect one: `perdure connect github --user ann`" in said
        assert said.startswith("github user:ann: ")
        assert await wanted(app) == []
    assert sent == []


async def test_each_attempt_asks_anew(wallet: Wallet) -> None:
    app, sent = opened("memory://", wallet), list[str]()

    @app.tool(effect="idempotent", credential="github", retry=Retry(attempts=2, first=timedelta()))
    async def open_issue(title: str, token: Credential) -> str:
        sent.append(token.reveal())
        if len(sent) == 1:
            wallet.keep("the second")
            raise ConnectionError("gone")
        return title

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.call(open_issue, "broken")

    wallet.keep("the first")
    async with app:
        await (run := await app.start(desk, on_behalf_of=ANN)).result()
        assert [told["version"] for told in await verdicts(run)] == [1, 2]
    assert sent == ["the first", "the second"]


async def test_a_verify_has_the_account_too(wallet: Wallet) -> None:
    app, seen = opened("memory://", wallet), list[str]()

    def was_opened(title: str, token: Credential) -> Any:
        seen.append(token.reveal())
        return Happened(f"{title}, found") if token.reveal() == CANARY else DID_NOT_HAPPEN

    @app.tool(credential="github", verify=was_opened)
    async def open_issue(title: str, token: Credential) -> str:
        raise TimeoutError("no answer")

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.call(open_issue, "broken")

    wallet.keep(CANARY)
    async with app:
        assert await (await app.start(desk, on_behalf_of=ANN)).result() == "broken, found"
    assert seen == [CANARY]


async def test_it_survives_a_kill_at_every_boundary(wallet: Wallet) -> None:
    sent = list[str]()
    app = opened("memory://", wallet)

    def was_opened(title: str) -> Any:
        return Happened(f"{title} by user:ann") if sent else DID_NOT_HAPPEN

    desk = issues(app, sent, verify=was_opened)

    def setup() -> None:
        sent.clear()
        wallet.grants.clear()

    async def outside(app: App, run: Any) -> None:
        wallet.app = app
        await until_wanted(app)
        await wallet.connect(CANARY)

    trials = await survives(app, desk, "broken", setup=setup, outside=outside, by=ANN)
    assert {trial.result for trial in trials} == {"broken by user:ann"}
    assert len(trials) > 8


async def test_a_cancelled_run_waits_for_nobody(store_url: str, wallet: Wallet) -> None:
    app = opened(store_url, wallet)
    desk = issues(app, [])
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=ANN)
        await until_waiting(run, app)
        await run.cancel()
        with pytest.raises(RunFailed):
            await run.result()
        assert await wanted(app) == []


async def test_what_does_not_fit_is_said_when_the_tool_is_made() -> None:
    app = App("memory://")

    def takes(token: Credential) -> None: ...
    def takes_none(title: str) -> None: ...

    with pytest.raises(ConfigError, match="does not say with whom"):
        app.tool(takes)
    with pytest.raises(ConfigError, match="annotate a parameter `Credential`"):
        app.tool(credential="github")(takes_none)
    with pytest.raises(ConfigError, match="of no use without"):
        app.tool(scopes=["repo"])(takes_none)
    with pytest.raises(ConfigError, match="is no provider"):
        app.tool(credential="git hub")(takes)


async def test_without_a_source_it_is_said_so() -> None:
    app = App("memory://")
    desk = issues(app, [])
    async with app:
        run = await app.start(desk, "broken", on_behalf_of=ANN)
        with pytest.raises(RunFailed, match="this app keeps none"):
            await run.result()
