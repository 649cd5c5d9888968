"""An agent that pays invoices for a clerk, at a bank that checks every call. This is the file to read first.

    invoice ──► model ⇄ read_invoice     read; anybody could have written it
                      ⇄ read_mail        read; the same
                      ⇄ find_supplier    read; the register, which the company vouches for, and which stays in the house
                      ⇄ pay              write; with a token for this one call, for the clerk, signed for by a manager
                                         where the policies say so
                      ⇄ book             idempotent; with the clerk's own account in the ledger
                      ⇄ answer           write; a mail to anybody, unless the register was read before

`app` is what a worker works for. Its settings are in `perdure.toml`, which the demo writes; what it may do is in
`policies/payables.cedar`, and nothing in its prompt can change it.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from perdure import DID_NOT_HAPPEN, App, EffectKey, Happened, Http, NotDone, Run, Verdict

app = App.from_config()

BANK = os.environ.get("PAYABLES_BANK", "http://127.0.0.1:8096")
LEDGER = os.environ.get("PAYABLES_LEDGER", "http://127.0.0.1:8097/me")
HERE = ["127.0.0.0/8"]
"""this demo's bank and ledger are on this machine; in earnest `allow_private` is left out"""

MODEL = "openai:gpt-5-mini"
SYSTEM = (
    "You pay invoices. Read the invoice, look up its supplier in the register, pay the amount to the supplier's "
    "account, and book it."
)


class Invoice(BaseModel):
    number: str
    supplier: str
    cents: int
    text: str


class Mail(BaseModel):
    sender: str
    text: str


class Supplier(BaseModel):
    name: str
    iban: str


class Payment(BaseModel):
    payment: str
    iban: str
    cents: int


class Paid(BaseModel):
    """What the model says when it is done."""

    paid: bool
    summary: str


def _file(name: str) -> dict[str, Any]:
    folder = Path(os.environ.get("PAYABLES_DATA", Path(__file__).parent))
    return json.loads((folder / name).read_text(encoding="utf-8"))


# tools -----------------------------------------------------------------------------------------------------------


@app.tool(effect="read", labels=["untrusted"])
def read_invoice(number: str) -> Invoice:
    """Read an invoice as it came in."""
    return Invoice.model_validate(_file("invoices.json")[number] | {"number": number})


@app.tool(effect="read", labels=["untrusted"])
def read_mail(invoice: str) -> Mail:
    """Read what the supplier wrote about an invoice."""
    return Mail.model_validate(_file("mails.json")[invoice])


@app.tool(effect="read", labels=["trusted", "register"])
def find_supplier(name: str) -> Supplier:
    """Look a supplier up in the company's own register."""
    return Supplier(name=name, iban=_file("suppliers.json")[name])


async def was_paid(invoice: str, iban: str, cents: int, key: EffectKey, http: Http) -> Verdict:
    """Asked when nobody knows whether money went out: the bank does, by the key."""
    answer = await http.get(
        f"{BANK}/payments", params={"invoice": invoice, "iban": iban, "cents": str(cents)}
    )
    found = answer.raise_for_status().json()
    return Happened(Payment.model_validate(found)) if found else DID_NOT_HAPPEN


@app.tool(
    effect="write",
    verify=was_paid,
    requires="payments:write",
    zone="money",
    hosts=[BANK],
    allow_private=HERE,
    audience=BANK,
    scopes=["payments:write"],
    timeout=timedelta(seconds=10),
)
async def pay(invoice: str, iban: str, cents: int, http: Http) -> Payment:
    """Pay an amount (in cents) to an account."""
    answer = await http.post(f"{BANK}/payments", json={"invoice": invoice, "iban": iban, "cents": cents})
    if answer.status_code in (401, 403, 422):
        raise NotDone(answer.json()["title"])
    return Payment.model_validate(answer.raise_for_status().json())


@app.tool(effect="idempotent", credential="ledger", hosts=[LEDGER.rpartition("/")[0]], allow_private=HERE)
async def book(invoice: str, payment: str, http: Http) -> str:
    """Book a payment in the ledger, in the clerk's name."""
    answer = await http.get(LEDGER, params={"invoice": invoice, "payment": payment})
    return f"booked by {answer.raise_for_status().json()['sub']}"


@app.tool(effect="write", zone="mail")
def answer(to: str, text: str) -> str:
    """Write a mail."""
    with Path("sent.txt").open("a", encoding="utf-8") as sent:
        sent.write(json.dumps({"to": to, "text": text}) + "\n")
    return "sent"


# the agent -------------------------------------------------------------------------------------------------------


@app.agent("payables")
async def payables(run: Run, number: str) -> Paid:
    return await run.model(
        MODEL,
        f"Pay invoice {number}.",
        output=Paid,
        tools=[read_invoice, read_mail, find_supplier, pay, book, answer],
        system=SYSTEM,
        name="invoice",
    )
