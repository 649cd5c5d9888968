"""MCP over HTTP: who comes in, as what, from where; both protocols; and where a client is told to sign in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from mcp_types.version import LATEST_MODERN_VERSION

from perdure.access import Role
from perdure.access.gates import LINK, AppGate
from perdure.access.keys import ApiKeys
from perdure.access.origins import LOOPBACK
from perdure.core.mcp_serve_settings import McpServeSettings
from perdure.core.principal import Principal
from perdure.mcp_server import sessions
from perdure.server import Life
from perdure.server.composition import mcp_asgi
from tests.api.desk import BelievingGate, as_
from tests.api.transport import StreamingTransport
from tests.identity.provider import Provider
from tests.mcp_server.clients import HOST, Person, client_over, desk, over_http
from tests.mcp_server.test_questions import asking

INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_with_a_key_works_as_that_program(mode: str) -> None:
    app = desk()
    async with app, over_http(app) as http:
        keys = ApiKeys(app.store)
        key = await keys.create(
            "ci", tenant="default", roles=[Role.OPERATOR], by="user:root", lasts=timedelta(days=1)
        )
        http.headers["authorization"] = f"Bearer {key.text}"
        async with client_over(http, mode=mode) as client:
            assert "answer_question" not in {tool.name for tool in (await client.list_tools()).tools}
            found = await client.call_tool("price", {"item": "tea", "count": 2})
        record = await app.store.get(app.ref(found.structured_content["run"]))

    assert found.structured_content["result"] == {"total": 6}
    assert record is not None and record.principal == "system:ci"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_person_answers_over_http(mode: str) -> None:
    app = desk()
    person = Person({"decision": "approve"})
    async with app, over_http(app, BelievingGate()) as http:
        http.headers.update(as_("approver"))
        run, step = await asking(app)
        async with client_over(http, person=person, mode=mode) as client:
            found = await client.call_tool("answer_question", {"run": run, "step": step})

    assert found.structured_content["answered"] is True
    assert '"amount": 7' in person.shown[0]


async def test_who_shows_nothing_is_told_where_to_sign_in() -> None:
    app = desk()
    async with app, over_http(app) as http:
        answers = [
            await http.post("/mcp", json=INITIALIZE, headers=HEADERS),
            await http.get("/mcp", headers=HEADERS),
            await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, "cookie": "perdure_session_8321=x"}),
            await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, "authorization": "Bearer pdk_no"}),
        ]

    for answer in answers:
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith("Bearer ")
        assert f'resource_metadata="{HOST}/.well-known/oauth-protected-resource/mcp"' in challenge


async def test_a_browsers_session_is_no_way_in_and_a_terminals_is() -> None:
    app = desk()
    gate = AppGate(app)
    async with app, over_http(app, gate) as http:
        ann = Principal(subject="user:ann", issuer="os", tenant="default")
        roles = frozenset({Role.APPROVER})
        browser = await gate.sessions.begin(ann, tenant="default", roles=roles, how=LINK)
        terminal = await gate.sessions.begin(ann, tenant="default", roles=roles, how=LINK, terminal=True)
        cookie = {"cookie": f"perdure_session_8321={browser}", "origin": HOST}
        with_cookie = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **cookie})
        known = await http.get("/api/v1/me", headers={"cookie": cookie["cookie"]})
        bearer = {"authorization": f"Bearer {terminal}"}
        with_terminal = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **bearer})

    assert known.status_code == 200, "it is a good session"
    assert with_cookie.status_code == 401
    assert with_terminal.status_code == 200


async def test_a_page_of_another_site_is_refused_whatever_it_shows() -> None:
    app = desk()
    async with app, over_http(app, BelievingGate()) as http:
        foreign = {**HEADERS, **as_("admin"), "origin": "http://evil.example"}
        refused = await http.post("/mcp", json=INITIALIZE, headers=foreign)
        fine = await http.post("/mcp", json=INITIALIZE, headers={**foreign, "origin": HOST})

    assert refused.status_code == 403
    assert fine.status_code == 200


async def test_who_has_no_role_is_let_into_nothing() -> None:
    app = desk()

    class NoRoles(BelievingGate):
        async def caller_of(self, request: Any) -> Any:
            import dataclasses

            return dataclasses.replace(await super().caller_of(request), roles=frozenset())

    async with app, over_http(app, NoRoles()) as http:
        answer = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **as_("viewer")})

    assert answer.status_code == 403


async def test_a_session_is_its_callers_alone_and_the_newer_protocol_has_none() -> None:
    app = desk()
    async with app, over_http(app, BelievingGate()) as http:
        begun = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **as_("viewer", user="ann")})
        session = {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        mine = await http.post("/mcp", json=ping, headers={**HEADERS, **session, **as_("viewer", user="ann")})
        theirs = await http.post(
            "/mcp", json=ping, headers={**HEADERS, **session, **as_("viewer", user="eve")}
        )
        discover = {
            "jsonrpc": "2.0",
            "id": 3,
            "method": "server/discover",
            "params": {
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
                    "io.modelcontextprotocol/clientCapabilities": {},
                }
            },
        }
        modern = {"mcp-protocol-version": LATEST_MODERN_VERSION, "mcp-method": "server/discover"}
        newer = await http.post("/mcp", json=discover, headers={**HEADERS, **modern, **as_("viewer")})

    assert (mine.status_code, theirs.status_code) == (200, 404)
    assert newer.status_code == 200 and "mcp-session-id" not in newer.headers
    assert "io.modelcontextprotocol/tasks" in newer.json()["result"]["capabilities"]["extensions"]


async def test_one_caller_does_not_fill_the_server_with_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_ONE", 2)
    app = desk()
    async with app, over_http(app, BelievingGate()) as http:
        mine = {**HEADERS, **as_("viewer", user="ann")}
        begun = [await http.post("/mcp", json=INITIALIZE, headers=mine) for _ in range(3)]
        theirs = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **as_("viewer", user="eve")})
        session = {"mcp-session-id": begun[0].headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        await http.delete("/mcp", headers={**mine, **session})
        after = await http.post("/mcp", json=INITIALIZE, headers=mine)

    assert [one.status_code for one in begun] == [200, 200, 429]
    assert begun[2].headers["retry-after"] == "60"
    assert theirs.status_code == after.status_code == 200


async def test_mcp_alone_answers_nothing_else() -> None:
    app = desk()
    life = Life(app)
    application = mcp_asgi(app, gate=BelievingGate(), hosts=LOOPBACK, life=life)
    async with life, httpx2.AsyncClient(transport=StreamingTransport(application), base_url=HOST) as http:
        fine = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **as_("viewer")})
        others = [await http.get(path, headers=as_()) for path in ("/api/v1/runs", "/", "/metrics")]
        elsewhere = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, "host": "evil.example"})

    assert fine.status_code == 200
    assert [one.status_code for one in others] == [404, 404, 404]
    assert elsewhere.status_code == 421


async def test_without_sessions_each_request_stands_for_itself() -> None:
    app = desk()
    app.mcp_serve = McpServeSettings(sessions=False)
    async with app, over_http(app, BelievingGate()) as http:
        answer = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **as_("viewer")})

    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers


async def test_a_token_counts_where_it_names_this_server_as_its_audience(provider: Provider) -> None:
    resource = f"{HOST}/mcp"
    app = desk(
        identity={
            "issuers": {
                "corp": {"url": provider.url, "audience": ["perdure", resource], "grants": ["groups"]}
            }
        },
        access={"roles": {"corp": {"approver": "*", "operator": ["ops"]}}},
    )
    async with app, over_http(app, AppGate(app)) as http:
        metadata = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()

        async def tried(**claims: Any) -> Any:
            token = {"authorization": f"Bearer {provider.token(**claims)}"}
            return await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, **token})

        good = await tried(aud=resource)
        elsewhere = await tried(aud="perdure")
        http.headers["authorization"] = (
            f"Bearer {provider.token(aud=resource, groups=['ops'], act={'sub': 'agent-7'})}"
        )
        async with client_over(http) as client:
            delegated = {tool.name for tool in (await client.list_tools()).tools}
        http.headers["authorization"] = f"Bearer {provider.token(aud=resource)}"
        async with client_over(http) as client:
            person = {tool.name for tool in (await client.list_tools()).tools}

    assert metadata["resource"] == resource
    assert metadata["authorization_servers"] == [provider.url]
    assert good.status_code == 200
    assert elsewhere.status_code == 401
    assert 'error="invalid_token", resource_metadata=' in elsewhere.headers["www-authenticate"]
    assert "answer_question" in person
    assert "answer_question" not in delegated, "an agent that acts for a user approves nothing for them"
