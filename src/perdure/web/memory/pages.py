"""`/memory`: what waits for a review, what is remembered, and one item with where it comes from."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ...access.callers import Role
from ...access.viewings import Viewings
from ...app.memory_journals import Written
from ...core.errors import InvalidInput
from ...core.ids import RunRef
from ...memory import ProposedWrite
from ...views.memory import gist
from ..rooms import Page, Room
from ..visit import Visit

__all__ = ["MEMORY"]

MOST = 50
"""Items on a page."""
RUNS = 300
"""Journals that are looked through for recalls."""
COUNTED = 100
"""So many that wait are counted, and no more."""

DONE = {
    "accepted": "It was written, and is recalled from now on.",
    "rejected": "It will never be written.",
    "withdrawn": "No run recalls it any more.",
    "withdrawn-all": "No run recalls any of it any more.",
    "withdrawn-before": "It was withdrawn already.",
    "restored": "It is recalled again.",
    "restored-before": "It was not withdrawn.",
    "forgotten": "What was remembered about that person is gone.",
}
"""What a page says afterwards, by the word in its address: nobody else's words can stand there."""


async def search(visit: Visit) -> Response:
    """`/memory`: what waits first, then what is remembered, as the address asks for it."""
    payloads = visit.me.sees_payloads
    asked = {name: visit.given(name) for name in ("text", "layer", "subject", "run", "label", "after")}
    memory = visit.app.memory
    page = await memory.search(
        asked["text"] if payloads else "",
        layer=asked["layer"] or None,
        subject=asked["subject"] or None,
        run=asked["run"] or None,
        label=asked["label"] or None,
        after=asked["after"],
        limit=MOST,
        tenant=visit.tenant,
    )
    waits = await memory.proposals(tenant=visit.tenant, limit=COUNTED)
    seen = [found.item.origin for found in page.items] + [p.write.origin for p in waits]
    await _saw(visit, *((origin.run, origin.step) for origin in seen))
    return await visit.page(
        "memory/search.html",
        asked=asked,
        found=page.items,
        waits=waits,
        payloads=payloads,
        gist=gist,
        says=_says,
        layers=[each.layer for each in memory.backends.remembered(visit.store)],
        any_asked=any(value for value in asked.values()),
        next=visit.url("/memory", **{**asked, "after": page.next}) if page.next else None,
        first=visit.url("/memory", **{**asked, "after": ""}) if asked["after"] else None,
        done=DONE.get(visit.given("done")),
        may=_may(visit),
    )


async def item(visit: Visit) -> Response:
    """`/memory/item`: what it says, why it is there, and what has become of it."""
    name = visit.given("item")
    told = await visit.app.memory.why(name, runs=RUNS, tenant=visit.tenant)
    run, _, step = name.partition("/")
    await _saw(visit, (run, step))
    return await visit.page(
        "memory/item.html",
        told=told,
        says=_says,
        payloads=visit.me.sees_payloads,
        done=DONE.get(visit.given("done")),
        may=_may(visit),
    )


async def spread(visit: Visit) -> Response:
    """`/memory/spread`: what runs have written that had been handed what a run wrote."""
    run = visit.given("run")
    return await visit.page(
        "memory/spread.html",
        run=run,
        told=await visit.app.memory.spread(run, runs=RUNS, tenant=visit.tenant),
        done=DONE.get(visit.given("done")),
        may=_may(visit),
    )


async def decide(visit: Visit) -> Response:
    """Accept or reject what waits."""
    memory, name, why = visit.app.memory, visit.given("item"), visit.given("why")
    match visit.given("verdict"):
        case "accept":
            await memory.accept(name, by=visit.by, why=why, tenant=visit.tenant)
            done = "accepted"
        case "reject":
            if not why:
                raise InvalidInput("say why: the audit log has it")
            await memory.reject(name, by=visit.by, why=why, tenant=visit.tenant)
            done = "rejected"
        case _:
            raise InvalidInput("say whether it is to be accepted or rejected")
    return visit.to("/memory", done=done)


async def withdraw(visit: Visit) -> Response:
    """Withdraw an item, or all that its run has written."""
    why = visit.given("why")
    if not why:
        raise InvalidInput("say why: the audit log has it")
    target = visit.given("target")
    if visit.given("spread") == "yes":
        await visit.app.memory.undo_spread(target, by=visit.by, why=why, runs=RUNS, tenant=visit.tenant)
        return visit.to("/memory/spread", run=target, done="withdrawn-all")
    fresh = await visit.app.memory.undo(target, by=visit.by, why=why, tenant=visit.tenant)
    return _back(visit, "withdrawn" if fresh else "withdrawn-before")


async def restore(visit: Visit) -> Response:
    """Take back that something was withdrawn."""
    target, why = visit.given("target"), visit.given("why")
    fresh = await visit.app.memory.restore(target, by=visit.by, why=why, tenant=visit.tenant)
    return _back(visit, "restored" if fresh else "restored-before")


async def forget(visit: Visit) -> Response:
    """Delete what is remembered about a person."""
    subject = visit.given("subject")
    if not subject or visit.given("sure") != "yes":
        raise InvalidInput("name the person, and say that you mean it: it is gone for good")
    await visit.app.memory.forget(subject, by=visit.by, tenant=visit.tenant)
    return visit.to("/memory", done="forgotten")


async def _waiting(visit: Visit) -> int:
    return len(await visit.app.memory.proposals(tenant=visit.tenant, limit=COUNTED))


def _says(write: ProposedWrite | Written) -> dict[str, Any]:
    """What a write would put into memory: its arguments, without those that nobody gave."""
    return {name: value for name, value in write.arguments.items() if value is not None}


def _back(visit: Visit, done: str) -> Response:
    item = visit.given("item")
    return visit.to("/memory/item", item=item, done=done) if item else visit.to("/memory", done=done)


def _may(visit: Visit) -> dict[str, Any]:
    return {
        "decide": visit.me.may(Role.APPROVER) and visit.me.sees_payloads,
        "withdraw": visit.me.may(Role.OPERATOR),
        "forget": visit.me.may(Role.ADMIN),
    }


async def _saw(visit: Visit, *seen: tuple[str, str]) -> None:
    """Whoever is shown what is remembered has looked into the runs that wrote it."""
    refs = [(RunRef(visit.tenant, run), step) for run, step in seen]
    await Viewings(visit.app).saw(visit.me, "step", *refs)


MEMORY = Room(
    title="Memory",
    path="/memory",
    key="m",
    pages=(
        Page(path="/memory", handler=search),
        Page(path="/memory/item", handler=item),
        Page(path="/memory/spread", handler=spread),
        Page(path="/memory/review", handler=decide, role=Role.APPROVER, method="POST"),
        Page(path="/memory/undo", handler=withdraw, role=Role.OPERATOR, method="POST"),
        Page(path="/memory/restore", handler=restore, role=Role.OPERATOR, method="POST"),
        Page(path="/memory/forget", handler=forget, role=Role.ADMIN, method="POST"),
    ),
    waiting=_waiting,
)
"""What agents remember."""
