"""A tool whose requests carry tokens of their own: `perdure.verify` on the other side knows who calls, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import make_server

import pytest

from perdure import App, ConfigError, Http, Run, RunFailed, SyncHttp, verify
from perdure.core.identity_settings import IdentitySettings
from perdure.core.principal import Principal
from perdure.identity import MasterKeys, StaticKeys
from perdure.identity.broker import JWKS, Broker
from perdure.identity.digests import arguments_digest
from tests.credentials.echo import echoing
from tests.credentials.wallet import ANN, verdicts
from tests.identity import test_middleware as servers

BANK = "https://bank.example.com"
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def identity(tmp_path: Path) -> IdentitySettings:
    master = tmp_path / "master.key"
    master.touch(mode=0o600)
    master.write_text(MasterKeys.new())
    return IdentitySettings(trust_domain="agents.example.org", keys=tmp_path / "keys", master_key=master)


class Keys:
    """The key set as it is now: an agent's first key is made when it first signs."""

    def __init__(self, identity: IdentitySettings) -> None:
        self.broker = Broker.open(identity)

    def find(self, issuer: str, kid: str) -> Any:
        return StaticKeys({self.broker.issuer_url: self.broker.documents()[JWKS]}).find(issuer, kid)


async def test_the_other_side_knows_who_calls_for_whom_and_which_call_it_is(
    store_url: str, identity: IdentitySettings
) -> None:
    app = App(store_url, identity=identity)
    with servers.asgi(audience=BANK, keys=Keys(identity)) as url:

        @app.tool(hosts=[url], allow_private=LOOPBACK, audience=BANK, scopes=["payments:write"])
        async def pay(to: str, amount: int, http: Http) -> list[Any]:
            done = await http.post(f"{url}/payments?ref=a%20b", json={"to": to, "amount": amount})
            looked = await http.get(f"{url}/payments?ref=a%20b")
            return [done.status_code, done.text, looked.status_code]

        @app.agent("payables", version="3")
        async def payables(run: Run) -> list[Any]:
            return await run.call(pay, "Ada", 12)

        async with app:
            run = await app.start(payables, on_behalf_of=ANN, run_id="r1")
            status, text, looked = await run.result()
            assert (status, looked) == (200, 200), text
            told = (await verdicts(run))[0]
    name = "spiffe://agents.example.org/t/default/agent/payables"
    assert text.startswith(f"{name} ")
    assert {k: told[k] for k in ("verdict", "audience", "subject", "agent", "version")} == {
        "verdict": "granted",
        "audience": BANK,
        "subject": "user:ann",
        "agent": name,
        "version": "3",
    }


async def test_what_the_token_says(identity: IdentitySettings) -> None:
    app, seen = App("memory://", identity=identity), list[verify.Caller]()
    keys = Keys(identity)

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["perdure.caller"])
        start_response("200 OK", [])
        return [b"fine"]

    with wsgi(wsgi_app, audience=BANK, keys=keys) as url:

        @app.tool(effect="idempotent", hosts=[url], allow_private=LOOPBACK, audience=BANK, scopes=["pay"])
        def pay(to: str, http: SyncHttp) -> int:
            return http.post(f"{url}/payments", content=b"to=" + to.encode()).status_code

        @app.agent("payables")
        async def payables(run: Run) -> int:
            return await run.call(pay, "Ada")

        async with app:
            assert await (await app.start(payables, on_behalf_of=ANN, run_id="r1")).result() == 200
    (caller,) = seen
    assert (caller.subject, caller.tenant, caller.run, caller.step) == ("user:ann", "default", "r1", "pay")
    assert (caller.tool, caller.scope, caller.version) == ("pay", frozenset({"pay"}), "1")
    details = caller.claims["authorization_details"][0]
    assert details["args_sha256"] == arguments_digest({"to": "Ada"})


@contextmanager
def wsgi(app: Callable[..., Any], **options: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, verify.WSGI(app, **options), handler_class=servers.Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_token_goes_to_its_audience_alone(identity: IdentitySettings) -> None:
    app = App("memory://", identity=identity)
    with echoing() as bank, echoing() as other:

        @app.tool(effect="read", hosts=[bank.url, other.url], allow_private=LOOPBACK, audience=bank.url)
        async def look(http: Http) -> str:
            await http.get(f"{other.url}/rates")
            await http.get(f"{bank.url}/to?url={other.url}/rates")
            await http.get(bank.url)
            return "fine"

        @app.agent("payables")
        async def payables(run: Run) -> str:
            return await run.call(look)

        async with app:
            await (await app.start(payables, on_behalf_of=ANN)).result()
    assert other.carried() == [None, None]
    assert other.carried("dpop") == [None, None]
    first, second = bank.carried()
    assert first is not None and second is not None and first.startswith("DPoP ")
    proofs = bank.carried("dpop")
    assert None not in proofs and proofs[0] != proofs[1]


async def test_without_an_identity_it_is_said_so() -> None:
    app = App("memory://")

    @app.tool(hosts=["bank.example.com"], audience=BANK)
    async def pay(http: Http) -> None: ...

    @app.agent("payables")
    async def payables(run: Run) -> None:
        await run.call(pay)

    async with app:
        with pytest.raises(RunFailed, match="have no identity"):
            await (await app.start(payables, on_behalf_of=ANN)).result()
    with pytest.raises(ConfigError, match="trust"):
        App("memory://", identity={"trust": "x"})


async def test_the_chain_of_those_who_handed_the_task_on(identity: IdentitySettings) -> None:
    app, seen = App("memory://", identity=identity), list[verify.Caller]()

    def bank(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["perdure.caller"])
        start_response("200 OK", [])
        return [b"fine"]

    with wsgi(bank, audience=BANK, keys=Keys(identity)) as url:

        @app.tool(effect="read", hosts=[url], allow_private=LOOPBACK, audience=BANK)
        async def look(http: Http) -> int:
            return (await http.get(url)).status_code

        @app.agent("clerk")
        async def clerk(run: Run) -> int:
            return await run.call(look)

        @app.agent("payables")
        async def payables(run: Run) -> int:
            return await run.child(clerk)

        vouched = Principal(subject="user:ann", issuer="https://login.example.org")
        async with app:
            assert await (await app.start(payables, on_behalf_of=vouched)).result() == 200
    (caller,) = seen
    assert caller.subject == "user:ann"
    assert caller.claims["sub_iss"] == "https://login.example.org"
    assert caller.agent.endswith("/agent/clerk")
    assert [name.rpartition("/")[2] for name in caller.chain] == ["payables"]
