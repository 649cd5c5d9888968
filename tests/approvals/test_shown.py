"""What an approver is shown and told: nothing hidden, what came before, and what came of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pydantic import BaseModel, Field

from perdure import (
    App,
    ApprovalDenied,
    ApprovalSettings,
    Approvers,
    Contact,
    InvalidInput,
    Run,
    RunFailed,
    verify_webhook,
)
from perdure.core.contacts import Contacts
from perdure.core.json_form import misfits
from perdure.core.lookalikes import suspicious, visible
from perdure.journal import Kind, Post
from perdure.runtime.conversation.messages import ToolMessage
from perdure.testing import survives
from tests.approvals.desks import Till, approve, digest, opened, shown, until_entry
from tests.runtime.conversations import Answers, asks, says


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url)


@pytest.fixture
def till() -> Till:
    return Till()


# look-alikes -----------------------------------------------------------------------------------------------------

LIES = {
    "Ada\u202egnp": ("Ada\\u202egnp", "hidden characters"),
    "A\u200bda": ("A\\u200bda", "hidden characters"),
    "p\u0430ypal": ("p\\u0430ypal", "mixes Cyrillic and Latin"),
    "\u0440\u0430\u0443\u0440\u0430\u04cf": (
        "\\u0440\\u0430\\u0443\\u0440\\u0430\\u04cf",
        "drawn like `paypal`",
    ),
    "\uff30\uff41\uff59": ("\\uff30\\uff41\\uff59", "drawn like `Pay`"),
}


@pytest.mark.parametrize("text", LIES)
def test_s27_text_that_lies_to_the_eye_is_escaped_and_flagged(text: str) -> None:
    escaped, flag = LIES[text]
    assert visible(f"to {text} now") == f"to {escaped} now"
    assert any(flag in oddity for oddity in suspicious(text))


@pytest.mark.parametrize(
    "text",
    ["Zo\u00eb Garc\u00eda", "\u041c\u043e\u0441\u043a\u0432\u0430", "\u6771\u4eac", "caf\u00e9 5 \u20ac"],
)
def test_s27_honest_text_of_other_languages_is_left_alone(text: str) -> None:
    assert visible(text) == text
    assert suspicious(text) == []


async def test_s27_an_approval_is_flagged_where_it_waits(app: App, till: Till) -> None:
    async with app:

        @app.tool(effect="write", needs_approval=True)
        def send(to: str) -> None: ...

        @app.agent("sender")
        async def sender(run: Run) -> None:
            await run.call(send, "p\u0430ypal\u202e")

        run = await app.start(sender)
        flags = shown(await opened(app, run))["flags"]
        assert len(flags) == 2
        await app.cancel(run.id)


# beside the question -----------------------------------------------------------------------------------------------


async def test_what_came_before_is_told_beside_the_question(app: App, till: Till) -> None:
    async with app:

        @app.tool(effect="write")
        def look_up(who: str) -> str:
            return who

        @app.tool(effect="write", needs_approval=True)
        def pay(to: str, amount: int) -> str:
            if amount == 7:
                raise ValueError("closed")
            return till.pay(to, amount, "")

        @app.agent("desk")
        async def agent(run: Run, amount: int) -> str:
            await run.call(look_up, "Ada")
            await run.decide("pay", ["pay", "wait"], "pay", reason="the invoice is due", confidence=0.7)
            return await run.call(pay, "Ada", amount)

        first = await app.start(agent, 5, run_id="r1")
        about = shown(await opened(app, first))["about"]
        assert about["why"]["reason"] == "the invoice is due"
        assert about["done"] == [
            {"step": "look_up", "tool": "look_up", "arguments": {"who": "Ada"}, "outcome": "done"}
        ]
        assert about["earlier"] == []
        await approve(app, first, reason="it is due")
        await first.result()

        second = await app.start(agent, 50, run_id="r2")
        asked = await opened(app, second)
        about = shown(asked)["about"]
        (earlier,) = about["earlier"]
        assert (earlier["approved"], earlier["by"], earlier["outcome"]) == (True, "boss", "done")
        assert about["changed"] == {"amount": {"was": 5, "now": 50}}
        await app.answer("r2", asked.step, approved=False, by="boss", reason="too dear", digest=digest(asked))
        with pytest.raises(RunFailed, match="boss said no: too dear"):
            await second.result()

        third = await app.start(agent, 7, run_id="r3")
        earlier = shown(await opened(app, third))["about"]["earlier"]
        assert [(e["approved"], e["reason"]) for e in earlier] == [(True, "it is due"), (False, "too dear")]
        await app.cancel("r3")


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of signed webhooks; what is not signed by the secret does not count."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            verify_webhook("a secret of tests", dict(self.headers.items()), body)
            got.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", got
    server.shutdown()
    thread.join()
    server.server_close()


async def test_who_is_asked_hears_of_it_by_a_signed_webhook_and_of_what_it_caused(
    app: App, till: Till, hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = hook
    monkeypatch.setenv("HOOK_SECRET", "a secret of tests")
    app.contacts = Contacts(by_name={"slack-ann": Contact(webhook=url, secret_env="HOOK_SECRET")})
    app.approval_settings = ApprovalSettings(people={"ann": "slack-ann"})

    @app.tool(effect="write", needs_approval=Approvers("ann"))
    def pay(to: str, amount: int) -> str:
        return till.pay(to, amount, "")

    @app.agent("desk")
    async def agent(run: Run) -> str:
        return await run.call(pay, "<!channel> p\u0430ypal", 5)

    async with app:
        run = await app.start(agent, run_id="r")
        asked = await opened(app, run)
        while not got:
            await app.store.changed(app.store.changes(), within=0.1)
        assert (got[0]["type"], got[0]["run"], got[0]["step"]) == ("approval.asked", "r", "pay")
        text = json.dumps(got[0]["blocks"])
        assert "&lt;!channel&gt; p\\\\u0430ypal" in text
        assert "careful" in text
        assert f"approvals approve r pay --digest {digest(asked)[:16]}" in got[0]["text"]
        await approve(app, run, by="ann")
        await run.result()
        while len(got) < 2:
            await app.store.changed(app.store.changes(), within=0.1)
        assert got[1]["type"] == "approval.outcome"
        assert "which you approved, is done" in got[1]["subject"]
        for entry in await run.entries():
            assert b"a secret of tests" not in entry.payload


# models and typed answers ------------------------------------------------------------------------------------------


async def test_a_model_sees_the_reason_of_a_rejection_and_asks_for_less(app: App, till: Till) -> None:
    answers = Answers(
        asks(("pay", {"to": "Ada", "amount": 500}), text="she asked for it all"),
        asks(("pay", {"to": "Ada", "amount": 5})),
        says("paid"),
    )
    app.models.register("told", answers)

    @app.tool(effect="write", needs_approval=True)
    def pay(to: str, amount: int) -> str:
        return till.pay(to, amount, "")

    @app.agent("desk")
    async def agent(run: Run) -> str:
        return await run.model("told:x", "Refund Ada", tools=[pay])

    async with app:
        run = await app.start(agent, run_id="r")
        asked = await opened(app, run)
        assert shown(asked)["about"]["why"]["reason"] == "she asked for it all"
        await app.answer("r", asked.step, approved=False, by="boss", reason="too much", digest=digest(asked))
        await approve(app, run, but=digest(asked))
        assert await run.result() == "paid"
    assert till.paid == [("Ada", 5)]
    told = [m.text for m in answers.requests[1].messages if isinstance(m, ToolMessage)]
    assert told == ["`pay` failed: ApprovalDenied: `pay` was not called: boss said no: too much"]


class Refund(BaseModel):
    amount: int = Field(ge=1, le=100)
    note: str = ""


async def test_a_typed_answer_is_of_that_type_and_others_are_refused(store_url: str) -> None:
    app = App(store_url)
    async with app:

        @app.agent("asks")
        async def asker(run: Run) -> list[Any]:
            refund = await run.ask("How much?", answer=Refund)
            kind = await run.ask("Which?", answer=["post", "bike"], name="kind")
            why = await run.ask("Why?", answer=str, name="why")
            return [type(refund).__name__, refund.amount, kind, why]

        run = await app.start(asker, run_id="r")
        await opened(app, run)
        for value, said in (
            ({"amount": 1000}, "`amount`: must be at most 100"),
            ({"note": "x"}, "`amount` is missing"),
            (5, "must be of type object"),
        ):
            with pytest.raises(InvalidInput, match=said):
                await app.answer("r", "ask", approved=True, by="ann", value=value)
        # past the app's own look: the run refuses it, and the question stays open
        body = b'{"approved":true,"value":{"amount":1000}}'
        await app.store.post(Post(ref=run.ref, kind="answer", name="ask", id="forced", sender="x", body=body))
        await until_entry(app, run, lambda e, t: e.kind == Kind.VERDICT and t["verdict"] == "refused")
        assert await app.answer("r", "ask", approved=True, by="ann", value={"amount": 7})
        await opened(app, run, "kind")
        with pytest.raises(InvalidInput, match="not one of the choices"):
            await app.answer("r", "kind", approved=True, by="ann", value="car")
        await app.answer("r", "kind", approved=True, by="ann", value="bike")
        await opened(app, run, "why")
        await app.answer("r", "why", approved=True, by="ann", value="because")
        assert await run.result() == ["Refund", 7, "bike", "because"]


async def test_a_typed_answer_survives_a_refused_one() -> None:
    app = App("memory://")

    @app.agent("asks")
    async def asker(run: Run) -> int:
        try:
            return (await run.ask("How much?", answer=Refund)).amount
        except ApprovalDenied:
            return -1

    async def outside(app: App, run: Any) -> None:
        await opened(app, run)
        body = b'{"approved":true,"value":{"amount":1000}}'
        await app.store.post(Post(ref=run.ref, kind="answer", name="ask", id="forced", sender="x", body=body))
        while not any(e.kind == Kind.VERDICT for e in await run.entries()):
            await app.store.changed(app.store.changes(), within=0.05)
        await app.answer(run.id, "ask", approved=True, by="ann", value={"amount": 7})

    for trial in await survives(app, asker, outside=outside):
        assert trial.result == 7


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"a": 1, "b": ["x"]}, []),
        ({"a": 0}, ["`a`: must be at least 1, and is `0`"]),
        ({"a": 1, "b": [1]}, ["`b[0]`: must be of type string, and is `1`"]),
        ({"a": True}, ["`a`: must be of type integer, and is `True`"]),
        ({"a": 1, "c": 2}, ["there is no `c` (there are: `a`, `b`)"]),
    ],
)
def test_what_does_not_fit_a_form_is_said(value: Any, wrong: list[str]) -> None:
    form = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"$ref": "#/$defs/names"}},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"names": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}},
    }
    assert misfits(form, value) == wrong
