"""The refund desk: a tier-1 support agent with a limit. This is the file to read first.

    message ──► model ⇄ find_order    read, cached
                      ⇄ refund        write; above $50 a person is asked
                      ⇄ change_billing   refused: not this desk's task
                      ⇄ send_reply    write
                 │
                 ├─ solved ──► check: does the reply name what was really refunded? ──► succeeded
                 └─ not ─────► escalated to the shift

`app` is what a worker works for. Its settings are in `perdure.toml`, which the demo writes.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import payments
from outbox import Outbox
from pydantic import BaseModel

from perdure import (
    DID_NOT_HAPPEN,
    App,
    Budget,
    Check,
    EffectKey,
    Happened,
    Refused,
    Retry,
    Run,
    Verdict,
)

app = App.from_config()
outbox = Outbox(Path(os.environ.get("REFUNDS_OUTBOX", "outbox")))

MODEL = "openai:gpt-5-mini"
LARGER = "anthropic:claude-haiku-4-5"

LIMIT = 50_00
"""cents that the desk may refund without asking"""

SYSTEM = (
    "You are the first line of support of Harrow & Pike. Read the case, look up the order, refund what is due, and "
    "tell the customer the exact amount. Say that a case is not solved where you cannot solve it; never guess."
)


class Case(BaseModel):
    customer: str
    email: str
    text: str


class Answer(BaseModel):
    """What the model says of a case when it is done with it."""

    solved: bool
    summary: str


class Order(BaseModel):
    order: str
    article: str
    paid_cents: int


# tools -----------------------------------------------------------------------------------------------------------


@app.tool(effect="read", cache=timedelta(minutes=5))
def find_order(order: str) -> Order:
    """Look up an order by its number."""
    return Order.model_validate(payments.find(order))


def was_refunded(order: str, cents: int, key: EffectKey) -> Verdict:
    """Asked when nobody knows whether money went out: the payment service does, by the key."""
    receipt = payments.find_refund(key)
    return DID_NOT_HAPPEN if receipt is None else Happened(receipt)


@app.tool(
    effect="write",
    verify=was_refunded,
    needs_approval=lambda cents: cents > LIMIT,
    timeout=timedelta(seconds=payments.PATIENCE),
    retry=Retry(attempts=3),
)
def refund(order: str, cents: int, key: EffectKey = EffectKey("")) -> payments.Receipt:
    """Pay money back for an order, to where it came from."""
    return payments.refund(order, cents, key)


@app.tool(effect="write")
def change_billing(order: str, change: str) -> str:
    """Change the billing data of an order."""
    raise Refused(
        "billing data is outside of this desk's task; the customer changes it in the account settings"
    )


def was_queued(to: str, text: str, key: EffectKey) -> Verdict:
    found = outbox.find(key)
    return DID_NOT_HAPPEN if found is None else Happened(found)


@app.tool(effect="write", verify=was_queued)
def send_reply(to: str, text: str, key: EffectKey = EffectKey("")) -> str:
    """Write to the customer."""
    return outbox.put(to, text, key)


# the desk --------------------------------------------------------------------------------------------------------


def names_the_amount(refunded: int, mails: list[str]) -> Check:
    """A reply names what the payment service has really paid, and nothing else."""
    if not mails:
        return Check(False, "the customer has heard nothing")
    named = payments.amounts(mails[-1])
    paid = {payments.dollars(refunded)} if refunded else set[str]()
    if named == paid:
        return Check(True, evidence={"paid": refunded})
    why = f"{payments.dollars(refunded)} went out, and the reply names {', '.join(sorted(named)) or 'no amount'}"
    return Check(False, why, evidence={"paid": refunded, "reply": mails[-1]})


async def check(run: Run, answer: Answer) -> Check:
    """By the books and the outbox, not by what the model says."""
    paid = await run.step("books", payments.paid_by, run.id)
    return names_the_amount(paid, await run.step("outbox", outbox.texts_of, run.id))


async def repair(run: Run, answer: Answer, why: str) -> Answer:
    """A wrong reply cannot be unsent; it can be put right, once."""
    paid = await run.step("books", payments.paid_by, run.id)
    to = await run.step("addressee", outbox.addressee_of, run.id)
    if to is not None:
        await run.call(
            send_reply, to, f"A correction: what we have paid back to you is {payments.dollars(paid)}."
        )
    return answer


@app.agent(
    "refund-desk",
    check=check,
    repair=repair,
    escalate_to="shift",
    budget=Budget(money="0.25", model_calls=12),
)
async def refund_desk(run: Run, case: Case) -> Answer:
    answer = await run.model(
        MODEL,
        f"From: {case.customer} <{case.email}>\n\n{case.text}",
        output=Answer,
        tools=[find_order, refund, change_billing, send_reply],
        system=SYSTEM,
        larger=LARGER,
        fallback=LARGER,
        name="case",
    )
    if not answer.solved:
        await run.escalate(answer.summary, context=case)
    return answer
