"""API keys and sessions at a terminal."""

from __future__ import annotations

import asyncio

import pytest

from perdure import App
from perdure.access.callers import Caller
from perdure.access.keys import ApiKeys
from perdure.access.sessions import Sessions
from perdure.access.viewings import Viewings
from perdure.core.principal import Principal
from perdure.core.roles import Role
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def store(cli: Cli) -> None:
    async def make() -> None:
        app = App(cli.store)
        await app.open()
        await app.close()

    asyncio.run(make())


def test_a_key_is_shown_once_and_opens_until_it_is_revoked(cli: Cli) -> None:
    made = cli(
        "keys", "create", "ci", "--role", "operator", "--role", "viewer", "--grant", "a:b", "--json"
    ).json
    assert made["key"].startswith(f"pdk_{made['id']}_")
    assert (made["roles"], made["grants"], made["state"]) == (["operator", "viewer"], ["a:b"], "good")

    listed = cli("keys", "ls", "--json")
    assert listed.json == [{name: value for name, value in made.items() if name != "key"}]
    assert made["key"] not in listed.stdout + cli("keys", "ls").stdout

    async def found() -> bool:
        app = App(cli.store)
        await app.open()
        key = await ApiKeys(app.store).find(made["key"], now=app.store.now())
        await app.close()
        return key is not None

    assert asyncio.run(found())
    ended = cli("keys", "revoke", made["id"], "--by", "grace", "--json").json
    assert (ended["state"], ended["revoked_by"]) == ("revoked", "user:grace")
    assert not asyncio.run(found())
    assert "revoked" in cli("keys", "ls").stdout


def test_what_is_for_people_and_what_is_not_for_a_pipe(cli: Cli) -> None:
    answer = cli("keys", "create", "ci", "--role", "policy-editor", "--lasts", "2h")
    assert answer.stdout.startswith("pdk_")  # alone: `KEY=$(perdure keys create …)`
    assert answer.stdout.count("\n") == 1
    assert "of system:ci (policy_editor), until" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", "ci", "--role", "root"], 2, "`root` is no role; roles are viewer"),
        (["create", "ci", "--role", "approver"], 2, "programs approve nothing"),
        (["create", "ci", "--role", "viewer", "--lasts", "soon"], 2, "is not a duration"),
        (["revoke", "nobody"], 4, "there is no key `nobody`"),
    ],
)
def test_what_is_refused(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    answer = cli("keys", *arguments)
    assert (answer.code, said in answer.stderr) == (code, True), answer


def test_somebody_is_signed_out(cli: Cli) -> None:
    async def sign_in(name: str) -> None:
        app = App(cli.store)
        await app.open()
        who = Principal(subject=f"user:{name}", issuer="corp")
        await Sessions(app.store).begin(
            who, tenant="default", roles=frozenset({Role.VIEWER}), how="corp", agent="Firefox"
        )
        await app.close()

    for name in ("ann", "ann", "bob"):
        asyncio.run(sign_in(name))
    listed = cli("sessions", "ls", "--json").json
    assert sorted(session["who"] for session in listed) == ["user:ann", "user:ann", "user:bob"]
    assert "Firefox" in cli("sessions", "ls").stdout

    assert cli("sessions", "revoke", "--user", "ann", "--json").json == {"ended": 2}
    (left,) = cli("sessions", "ls", "--json").json
    assert cli("sessions", "revoke", left["id"]).stdout == "1 session has ended\n"
    assert cli("sessions", "revoke", left["id"]).code == 4
    assert cli("sessions", "revoke").code == 2
    assert "nobody is signed in" in cli("sessions", "ls").stderr


def test_who_has_looked_at_a_server_is_told_with_what_was_done(cli: Cli) -> None:
    async def look() -> None:
        app = App(cli.store)
        await app.open()
        who = Principal(subject="user:ann", issuer="corp")
        caller = Caller(principal=who, tenant="default", roles=frozenset({Role.AUDITOR}), via="session:1")
        await Viewings(app).saw(caller, "entries", app.ref("r1"))
        await app.close()

    asyncio.run(look())
    (call,) = cli("audit", "who-did", "view", "--person", "ann", "--json").json["calls"]
    assert (call["agent"], call["on_behalf_of"], call["outcome"]) == ("perdure.views", "user:ann", "ok")
    assert call["arguments"] == {"run": "r1", "what": "entries", "via": "session:1", "times": 1}
    assert "view(run=" in cli("audit", "who-did", "view").stdout
