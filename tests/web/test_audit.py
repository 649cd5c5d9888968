"""The auditor's page says what the journals say, to auditors, of their tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure import App, Run
from perdure.access.callers import Role
from perdure.testing import until_waiting
from tests.web.scene import Reader, reading, text_of


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    app = App("memory://")

    @app.tool(effect="write", needs_approval=True)
    def pay(to: str, cents: int) -> str:
        return "paid"

    @app.tool(effect="write")
    def mail(to: str) -> str:
        raise ValueError("<img src=x onerror=alert(1)>")

    @app.agent("clerk")
    async def clerk(run: Run, to: str) -> str:
        await run.call(pay, to, 500)
        return await run.call(mail, to)

    async with app:
        for name, tenant in (("r1", None), ("r2", "other")):
            run = await app.start(clerk, "Ann <b>", run_id=name, by="user:dana", tenant=tenant)
            await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals("r1")
        await app.answer(
            "r1", asked.step, approved=True, by="user:eve", digest=asked.digest, reason="as agreed"
        )
        await until_waiting(app, await app.handle("r1"), "in_doubt")
        async with reading(app) as found:
            yield found


async def test_who_did_it_for_whom_who_let_it_and_whether_it_worked(reader: Reader) -> None:
    page = await reader.get("/audit?action=pay")
    text = text_of(page)
    for told in (
        "pay ok",
        "agent clerk@1",
        "user:dana",
        "approved by user:eve",
        "as agreed",
        "Ann <b>",
        "500",
    ):
        assert told in text, told
    assert "mail" not in text.partition("reads too")[2]
    assert "Ann &lt;b&gt;" in page
    assert "other" not in text.partition("reads too")[2]


async def test_what_went_wrong_is_told_and_can_do_nothing(reader: Reader) -> None:
    page = await reader.get("/audit?action=mail")
    assert "<img" not in page
    assert "in doubt" in text_of(page)


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("action=p*", True),
        ("action=pay&person=user:eve", True),
        ("action=pay&person=user:zoe", False),
        ("action=pay&agent=clerk&argument=cents%3D500&since=7d", True),
        ("action=pay&argument=cents%3D501", False),
        ("action=refund", False),
    ],
)
async def test_what_is_asked_for_is_narrowed(query: str, there: bool, reader: Reader) -> None:
    text = text_of(await reader.get(f"/audit?{query}"))
    assert ("agent clerk@1" in text) is there
    assert ("Nobody did" in text) is not there


async def test_a_question_that_cannot_be_meant_is_told_so(reader: Reader) -> None:
    assert "name=value" in await reader.get("/audit?action=pay&argument=cents", status=400)
    assert "number of days" in await reader.get("/audit?action=pay&since=soon", status=400)


async def test_the_state_of_the_log_stands_above(reader: Reader) -> None:
    text = text_of(await reader.get("/audit"))
    assert "nothing is signed" in text
    assert "perdure audit init" in text
    assert "Ask who did something" in text


async def test_nobody_but_an_auditor_looks(reader: Reader) -> None:
    reader.gate.roles = frozenset({Role.OPERATOR})
    await reader.get("/audit?action=pay", status=403)
    assert 'href="/audit"' not in await reader.get("/runs")
    reader.gate.roles = frozenset({Role.AUDITOR})
    assert 'href="/audit"' in await reader.get("/runs")


async def test_who_looked_is_a_deed_too(reader: Reader) -> None:
    await reader.get("/audit?action=pay")
    assert "user:dana" in text_of(await reader.get("/audit?action=view&reads=1"))
