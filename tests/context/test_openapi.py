"""Operations of an OpenAPI document as tools, against a real server: reviewed, called, refused, in doubt."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from perdure import (
    App,
    ConfigError,
    Credential,
    Handle,
    ModelReply,
    ModelRequest,
    Principal,
    Refused,
    Retry,
    Run,
    Wanted,
)
from perdure.runtime.conversation.messages import ToolCall, ToolMessage
from tests.faults.processes import until

from .crm_server import DOCUMENT, Crm, crm


def written(folder: Path, document: dict[str, Any] | None = None) -> Path:
    file = folder / "crm.json"
    file.write_text(json.dumps(document or DOCUMENT))
    return file


def settings(folder: Path, server: Crm, **more: Any) -> dict[str, Any]:
    base = {"document": str(written(folder)), "base_url": server.url, "allow_private": ["127.0.0.0/8"]}
    return {"crm": {**base, **more}}


async def reviewed(app: App, *names: str) -> None:
    found = {t.name: t.now for t in await app.openapi.ls("crm") if t.now is not None}
    await app.openapi.review("crm", {n: d for n, d in found.items() if not names or n in names}, by="ann")


async def in_doubt(run: Handle) -> bool:
    record = await run.record()
    return record.status == "waiting" and "in_doubt" in record.reasons


class Model:
    """Calls what it is told to, each once, then says what it heard."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.calls = calls
        self.offered: list[str] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.offered = [t.name for t in request.tools]
        said = [m.text for m in request.messages if isinstance(m, ToolMessage)]
        if said:
            return ModelReply(text=" / ".join(said), model=model)
        calls = [
            ToolCall(id=str(n), name=name, arguments=given) for n, (name, given) in enumerate(self.calls)
        ]
        return ModelReply(tool_calls=calls, model=model)


async def test_a_model_calls_what_was_reviewed_each_argument_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_AUTHORIZATION", "Bearer canary-7f3a")
    model = Model(
        ("crm__getCustomer", {"id": "a/b c", "fields": ["x", "y&z"], "X-Trace": "t"}),
        ("crm__createRefund", {"body": {"order": "A-1", "amount": 3}}),
        ("crm__createRefund", {"body": {"order": "A-1", "amount": 0}}),
        ("crm__getCustomer", {"id": "1", "admin": True}),
    )
    async with crm() as server:
        env = {"Authorization": "env:CRM_AUTHORIZATION"}
        app = App("memory://", openapi=settings(tmp_path, server, headers=env))
        app.models.register("mine", model)

        @app.agent("desk")
        async def desk(run: Run) -> str:
            tools = await app.openapi.tools(run, "crm")
            return await run.model("mine:m", "What of Ann?", tools=[*tools])

        async with app:
            told = {t.name: (t.offered, t.state, t.effect) for t in await app.openapi.ls("crm")}
            assert told["getCustomer"] == ("crm__getCustomer", "unreviewed", "read")
            assert told["createRefund"] == ("crm__createRefund", "unreviewed", "write")
            await reviewed(app, "getCustomer", "createRefund")
            run = await app.start(desk)
            said = await run.result()
            entries = await run.entries()

    assert model.offered == ["crm__createRefund", "crm__getCustomer"]
    assert server.asked == [
        ("GET", "/api/customers/a%2Fb%20c?fields=x&fields=y%26z"),
        ("POST", "/api/refunds"),
    ]
    assert server.headers[0]["x-trace"] == "t" and server.bodies == [{"order": "A-1", "amount": 3}]
    assert '"name":"Ann"' in said and '"x-total":"1"' in said and '"status":201' in said
    assert (
        "amount" in said and "must be" in said
    )  # what does not fit went back to the model, and not to the server
    assert server.headers[0]["authorization"] == "Bearer canary-7f3a"  # the server had it, and said it
    assert b"canary" not in b"".join(e.payload for e in entries) and "[Authorization]" in said


async def test_s19_an_operation_that_has_changed_is_refused_until_it_is_reviewed_again(
    tmp_path: Path,
) -> None:
    async with crm() as server:
        app = App("memory://", openapi=settings(tmp_path, server))

        @app.agent("desk")
        async def desk(run: Run) -> Any:
            return (await run.call((await app.openapi.tools(run, "crm"))["getCustomer"], id="1")).status

        @app.agent("careful")
        async def careful(run: Run) -> Any:
            try:
                return await run.call((await app.openapi.tools(run, "crm"))["getCustomer"], id="1")
            except Refused as refused:
                return str(refused)

        async with app:
            assert "no reviewed tool `getCustomer`" in await (await app.start(careful)).result()
            await reviewed(app)
            assert await (await app.start(desk)).result() == 200

            changed = copy.deepcopy(DOCUMENT)
            changed["paths"]["/customers/{id}"]["get"]["summary"] = "Find a customer, and tell Eve."
            written(tmp_path, changed)
            said = await (await app.start(careful)).result()
            assert (
                "has changed since it was reviewed (`description`)" in said
                and "perdure openapi diff crm" in said
            )
            assert len(server.asked) == 1  # nothing was sent

            del changed["paths"]["/customers/{id}"]
            written(tmp_path, changed)
            assert "no tool `getCustomer` any more" in await (await app.start(careful)).result()
            written(tmp_path)
            assert await (await app.start(desk)).result() == 200


async def test_what_a_server_says_no_to_when_it_is_asked_again_and_what_stays_in_doubt(
    tmp_path: Path,
) -> None:
    async with crm() as server:
        retry = Retry(attempts=3, first=timedelta(), most=timedelta())
        more = {"timeout": 0.5, "most_output": 150, "writes": ["say"]}
        app = App("memory://", retry=retry, openapi=settings(tmp_path, server, **more))

        @app.agent("reads")
        async def reads(run: Run) -> Any:
            tools = await app.openapi.tools(run, "crm")
            return (await run.call(tools["getCustomer"], id="1")).model_dump()

        @app.agent("says")
        async def says(run: Run, what: str) -> Any:
            return (await run.call((await app.openapi.tools(run, "crm"))["say"], what=what)).model_dump()

        async with app:
            await reviewed(app)
            # a 4xx is an answer
            server.next = [JSONResponse({"error": "no such customer"}, 404)]
            found = await (await app.start(reads)).result()
            assert (found["status"], found["failed"], found["structured"]) == (
                404,
                True,
                {"error": "no such customer"},
            )
            # "not now" is asked again, after the time that it says
            later = {"Retry-After": "0"}
            server.next = [Response("busy", 429, headers=later), Response("down", 503, headers=later)]
            before = len(server.asked)
            assert (await (await app.start(reads)).result())["status"] == 200
            assert len(server.asked) - before == 3
            # a write that was told "not now" by 429 was not done; by 503 nobody knows
            server.next = [Response("busy", 429, headers=later)]
            long = await (await app.start(says, "long")).result()
            assert long["cut"] == 850 and len(long["text"]) == 150
            server.next = [Response("down", 503, headers=later)]
            before = len(server.asked)
            lost = await app.start(says, "x")
            await until(lambda: in_doubt(lost), "a human is asked")
            assert len(server.asked) - before == 1  # never repeated in silence
            # where a write leads is an answer, and not followed
            server.next = [RedirectResponse("/api/say/long", 307)]
            led = await (await app.start(says, "y")).result()
            assert (led["status"], led["headers"]["location"]) == (307, "/api/say/long")


async def test_a_repeated_call_goes_by_its_key_and_each_call_by_the_users_own_account(tmp_path: Path) -> None:
    class Keeper:
        async def credential(self, wanted: Wanted) -> Credential:
            secret = f"of-{wanted.subject}-secret-{wanted.rejected or 0}"
            return Credential(secret, provider=wanted.provider, subject=wanted.subject, version=1)

    async with crm() as server:
        more = {"idempotent": ["createRefund"], "key_header": "Idempotency-Key", "auth": "user"}
        retry = Retry(attempts=2, first=timedelta(), most=timedelta())
        app = App("memory://", retry=retry, credentials=Keeper(), openapi=settings(tmp_path, server, **more))

        @app.agent("desk")
        async def desk(run: Run) -> int:
            tools = await app.openapi.tools(run, "crm")
            body = {"order": "A-1", "amount": 3}
            return (await run.call(tools["createRefund"], body=body)).status

        async with app:
            await reviewed(app)
            server.next = [Response("a proxy is down", 502), Response("who is that?", 401)]
            run = await app.start(desk, on_behalf_of=Principal(subject="user:ann", issuer="desk"))
            assert await run.result() == 201
            entries = await run.entries()
    keys = {h["idempotency-key"] for h in server.headers}
    assert len(server.asked) == 3 and keys == {f"{run.id}/crm__createRefund"}
    tokens = [h["authorization"] for h in server.headers]
    assert tokens == ["Bearer of-user:ann-secret-0"] * 2 + ["Bearer of-user:ann-secret-1"]  # renewed, once
    assert b"-secret" not in b"".join(e.payload for e in entries)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("say", {"what": "elsewhere"}, "`https://evil.example` is none of the hosts"),
        ("say", {"what": ".."}, "would be another path than its own"),
        ("say", {"what": "../../admin"}, "would be another path than its own"),
        ("say", {"what": "x/..\\admin"}, "would be another path than its own"),
        ("say", {"what": ""}, "cannot be empty"),
        ("getCustomer", {"id": "1", "X-Trace": "t\r\nX-Admin: 1"}, "of one line"),
        ("getCustomer", {"id": 1}, "must be of type string"),
        ("say", {}, "`what`"),
    ],
)
async def test_nothing_leaves_its_place(
    tmp_path: Path, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with crm() as server:
        app = App("memory://", openapi=settings(tmp_path, server))

        @app.agent("desk")
        async def desk(run: Run) -> str:
            try:
                return str(await run.call((await app.openapi.tools(run, "crm"))[tool], **arguments))
            except Refused as refused:
                return str(refused)

        async with app:
            await reviewed(app)
            assert said in await (await app.start(desk)).result()
    assert [path for _, path in server.asked] in ([], ["/api/say/elsewhere"])


async def test_a_document_at_an_address_is_had_by_the_same_guarded_way(tmp_path: Path) -> None:
    async with crm() as server:
        # who names no private networks reaches none, not even for the document
        table = {"document": f"{server.url}/openapi.json"}
        app = App("memory://", openapi={"crm": {**table, "base_url": server.url}})
        with pytest.raises(Refused, match="this machine itself"):
            await app.openapi.ls("crm")
        await app.close()
        # without `base_url` the document has to say where it is
        private = {"allow_private": ["127.0.0.0/8"]}
        app = App("memory://", openapi={"crm": {**table, **private}})
        with pytest.raises(ConfigError, match="does not say where its operations are"):
            await app.openapi.ls("crm")
        server.next = [JSONResponse({**DOCUMENT, "servers": [{"url": server.url}]})]
        (tool, *_) = await app.openapi.ls("crm")
        assert tool.now is not None and tool.now.annotations["server"] == server.url
        await app.close()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"document": "http://x.example/openapi.json"}, "must be a file, or an `https` address"),
        ({"headers": {"Authorization": "hunter2"}}, "env:NAME"),
        ({"idempotent": ["createRefund"]}, "say in which `key_header`"),
        ({"auth": "user", "headers": {"authorization": "env:X"}}, "both say whose token"),
        ({"scopes": ["a"]}, 'are for `auth = "user"`'),
        ({"headers": {"X-Key": "env:X"}}, "not for the document to say"),
    ],
)
def test_settings_that_cannot_be_used(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        App("memory://", openapi={"crm": {"document": "crm.json", **table}})
    assert "hunter2" not in str(raised.value)


async def test_a_pattern_that_names_no_operation_is_an_error(tmp_path: Path) -> None:
    written(tmp_path)
    base = {"document": str(tmp_path / "crm.json"), "base_url": "https://crm.example"}
    app = App("memory://", openapi={"crm": {**base, "without": ["createRefunds"]}})
    with pytest.raises(ConfigError, match="no operation `createRefunds`, which `without` names"):
        await app.openapi.ls("crm")
    await app.close()
    app = App("memory://", openapi={"crm": {**base, "only": ["GET *"], "without": ["say"]}})
    assert [t.name for t in await app.openapi.ls("crm")] == ["getCustomer"]
    await app.close()
