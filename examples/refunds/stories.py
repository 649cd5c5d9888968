"""Eight customers write to the desk. What is done around each case, and what came of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from desk import Case, outbox
from pydantic import BaseModel
from services import PaymentService, Shift

from perdure import App, Budget, Entry, Handle, Kind
from perdure.testing import Stage, until_waiting


class Story(BaseModel):
    name: str
    status: str
    why: str
    repaired: bool
    booked: list[int]
    """cents that the payment service paid for this run, each time that it paid"""
    mails: list[str]
    journal: list[str]
    spent: str
    """dollars"""
    facts: dict[str, Any] = {}


class Desk:
    """The desk with what is around it, as the stories use it."""

    def __init__(self, app: App, stage: Stage, payments: PaymentService, shift: Shift) -> None:
        self.app = app
        self.stage = stage
        self.payments = payments
        self.shift = shift
        self.worker: asyncio.subprocess.Process | None = None

    async def write(self, name: str, text: str, **options: Any) -> Handle:
        """A customer's message comes in. Who brings it in cannot approve what comes of it."""
        case = Case(customer="Mira Holm", email=f"{name}@customer.example", text=text)
        return await self.app.start("refund-desk", case, run_id=name, by="user:intake", **options)

    def paid(self, name: str) -> list[int]:
        """By the books of the payment service."""
        return [
            receipt["cents"] for receipt in self.payments.receipts if receipt["key"].startswith(f"{name}/")
        ]

    async def tell(self, name: str, **facts: Any) -> Story:
        """Wait for the end of a case and read it."""
        run = await self.app.handle(name)
        ending = await asyncio.wait_for(run.ending(), 40)
        return Story(
            name=name,
            status=ending.status,
            why=ending.why,
            repaired=bool(ending.check and ending.check["repaired"]),
            booked=self.paid(name),
            mails=outbox.texts_of(name),
            journal=[line for entry in await run.entries() for line in lines(entry)],
            spent=str(ending.spent["money"]),
            facts=facts,
        )


def lines(entry: Entry) -> list[str]:
    """An entry that tells of more than that all went well: its kind, its step, and what matters."""
    told = json.loads(entry.payload or b"null")
    match Kind(entry.kind):
        case Kind.ATTEMPT:
            about = [f"{told['class']}: {told['error']['message']}"]
        case Kind.COMPACTED:
            about = [told["why"]]
        case Kind.FAILED:
            about = [f"{told['type'].rpartition(':')[2]}: {told['message']}"]
        case Kind.WAITING:
            about = [f"for {told['on']}"]
        case Kind.VERDICT:
            about = [f"{told['stage']}: {told['verdict']}"]
        case Kind.UNKNOWN:
            about = [told["why"]]
        case Kind.SETTLED:
            about = [f"happened: {told['happened']}, says {told['by']}"]
        case Kind.RESULT if entry.key.rpartition("/")[2].startswith("turn"):
            about = [f"told: {message['text']}" for message in told["messages"] if message.get("failed")]
        case _:
            about = []
    return [" ".join(f"{Kind(entry.kind).name} {entry.key} {each}".split()) for each in about]


async def small(desk: Desk) -> Story:
    await desk.write("small", "My desk lamp, order A-101, came broken.")
    story = await desk.tell("small")
    said = await desk.stage.operator("outcome", "small", "--met", "--evidence", "five stars", "--by", "ann")
    story.facts = {"met": said["met"]}
    return story


async def large(desk: Desk) -> Story:
    """$80 are above the limit. Ann approves $60: a call with other arguments, which is what is made."""
    run = await desk.write("large", "My office chair, order A-102, came broken.")
    await asyncio.wait_for(until_waiting(desk.app, run, "approval"), 30)
    asked = await desk.stage.operator("approvals", "show", "large")
    await desk.stage.operator(
        *("approvals", "edit", "large", "--digest", asked["digest"]),
        *("--set", "cents=6000", "--reason", "the seat is fine", "--by", "ann"),
    )
    return await desk.tell("large", asked=asked["show"]["arguments"])


async def storm(desk: Desk) -> Story:
    """A busy model, wrong arguments, half an answer, a conversation that is too long: the customer notices nothing."""
    await desk.write("storm", "My wall clock, order A-104, came broken.")
    return await desk.tell("storm")


async def wrong(desk: Desk) -> Story:
    """The model names an amount that nobody has paid."""
    await desk.write("wrong", "My umbrella, order A-108, came broken.")
    return await desk.tell("wrong")


async def dear(desk: Desk) -> Story:
    """A case that may make one model call, and needs four. Its owner raises the budget, and it goes on where it was."""
    run = await desk.write("dear", "My door mat, order A-106, came broken.", budget=Budget(model_calls=1))
    await asyncio.wait_for(until_waiting(desk.app, run, "budget"), 30)
    before = len(desk.paid("dear"))
    await desk.stage.operator("budget", "raise", "dear", "--model-calls", "3", "--by", "ann")
    return await desk.tell("dear", payments_before=before)


async def unknown(desk: Desk) -> Story:
    """No such order: the shift is told, and Ben takes it."""
    await desk.write("unknown", "My order A-107 has not come.")
    story = await desk.tell("unknown")
    assert await asyncio.to_thread(desk.shift.heard.wait, 30)
    (notice,) = desk.shift.told.values()
    open_before = len(await desk.app.escalations())
    await desk.stage.operator("escalations", "ack", "unknown", "--note", "I call them", "--by", "ben")
    story.facts = {
        "to": notice["to"],
        "notice": notice["subject"],
        "open": [open_before, len(await desk.app.escalations())],
        "turned_away": desk.shift.turned_away,
    }
    return story


async def billing(desk: Desk) -> Story:
    """Not the desk's task. The order was looked up a moment ago, so the payment service is not asked again."""
    before = len(desk.payments.looked_up)
    await desk.write("billing", "Please change the billing address of order A-101.")
    story = await desk.tell("billing")
    story.facts = {"looked_up": len(desk.payments.looked_up) - before}
    return story


async def killed(desk: Desk) -> Story:
    """The payment service has booked and not answered: SIGKILL. Nobody but the service knows, so it is asked."""
    assert desk.worker is not None
    await desk.write("killed", "My tea kettle, order A-105, came broken.")
    assert await asyncio.to_thread(desk.payments.booked.wait, 30)
    desk.worker.kill()
    await desk.worker.wait()
    desk.payments.go_on.set()
    desk.worker = await desk.stage.worker()
    story = await desk.tell("killed")
    story.facts = {"asked_to_pay": sum(key.startswith("killed/") for key in desk.payments.asked)}
    return story


TOGETHER = (small, large, storm, wrong, dear, unknown)


async def play(desk: Desk) -> list[Story]:
    """All stories: six at the same time, then the one that finds its order in the cache, and the one with the kill."""
    desk.worker = await desk.stage.worker()
    told = await asyncio.gather(*(story(desk) for story in TOGETHER))
    return [*told, await billing(desk), await killed(desk)]


def judge(of: dict[str, Story]) -> dict[str, bool]:
    """What the demo promises, by the payment service's books, the outbox and the shift, and not by the runs' word."""
    unknown, killed = of["unknown"], of["killed"]
    return {
        "$30 were paid without asking": of["small"].booked == [30_00]
        and not any(entry.startswith("WAITING") for entry in of["small"].journal),
        "$60 were paid of $80, as Ann approved": of["large"].booked == [60_00]
        and of["large"].mails[-1].startswith("We have paid $60.00"),
        "the billing address stayed, and the customer heard why": of["billing"].booked == []
        and "account settings" in of["billing"].mails[-1],
        "four faults of the model cost the customer nothing": of["storm"].booked == [45_00]
        and len(of["storm"].mails) == 1,
        "a wrong amount was put right": of["wrong"].booked == [35_00] and "$35.00" in of["wrong"].mails[-1],
        "nothing was paid before the budget was raised, and once after": of["dear"].booked == [25_00]
        and of["dear"].facts["payments_before"] == 0,
        "the shift heard of what the desk could not solve, and took it": unknown.status == "escalated"
        and unknown.facts["open"] == [1, 0]
        and unknown.facts["turned_away"] == 0,
        "a worker was killed in the payment, which was made once": killed.booked == [20_00]
        and killed.facts["asked_to_pay"] == 1,
    }
