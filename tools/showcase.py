"""A store that looks like a week in a company: dozens of runs, in every state. For pictures of the docs.

Nothing is faked in the store: the agents really run, against a model that answers by rule and a clock that is turned.
`fill(app, clock)` does it, in a few seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from perdure import (
    App,
    Budget,
    ModelReply,
    ModelRequest,
    Principal,
    Refused,
    Retry,
    Run,
)
from perdure.journal import RunStatus
from perdure.runtime.conversation.messages import ToolCall, Usage

RNG = random.Random(7)
SMALL, LARGE = "openai:gpt-5-mini", "anthropic:claude-sonnet-4-5"

POLICIES = """
@id("calls")
permit (principal, action, resource);

@id("account-of-the-invoice")
@gate("human") @role("managers")
@reason("the account stands in the invoice, and not in the register of suppliers")
forbid (principal, action == Action::"pay", resource)
when { context.untrusted.contains("iban") || context.unvouched.contains("iban") }
unless { context.approvals.contains("managers") };

@id("above-5000")
@gate("human") @role("managers")
@reason("payments above 5,000 are signed for by a manager")
forbid (principal, action == Action::"pay", resource)
when { context.args.cents > 500000 }
unless { context.approvals.contains("managers") };
"""


class TurnedClock:
    """The machine's clock, set back, and turned on by what the showcase does."""

    def __init__(self, back: timedelta) -> None:
        self._offset = -int(back.total_seconds() * 1e6)
        self._turned = 0.0

    def micros(self) -> int:
        return time.time_ns() // 1000 + self._offset

    def monotonic(self) -> float:
        return time.monotonic() + self._turned

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self._offset += int(seconds * 1e6)
        self._turned += seconds

    def until(self, micros: int) -> None:
        """Let time pass until then."""
        self._offset += max(0, micros - self.micros())

    async def wait(self, event: asyncio.Event, *, until: int | None) -> None:
        while not event.is_set() and (until is None or self.micros() < until):
            try:
                async with asyncio.timeout(0.02):
                    await event.wait()
            except TimeoutError:
                continue


class Order(BaseModel):
    order: str
    article: str
    paid_cents: int


class Supplier(BaseModel):
    name: str
    iban: str


INVOICES = {
    "INV-2041": ("Brightwater Ltd", 1_280_00, "DE89370400440532013000"),
    "INV-2042": ("Acme Paper", 312_40, "GB29NWBK60161331926819"),
    "INV-2043": ("Northwind Freight", 8_450_00, "FR1420041010050500013M02606"),
    "INV-2044": ("\u0410cme P\u0430per", 2_960_00, "LT601010012345678901"),
}
REGISTER = {
    "Brightwater Ltd": "DE89370400440532013000",
    "Acme Paper": "GB29NWBK60161331926819",
    "Northwind Freight": "FR1420041010050500013M02606",
}
ORDERS = {
    "A-101": ("walnut desk", 489_00),
    "A-102": ("reading lamp", 39_90),
    "A-103": ("office chair", 219_00),
    "A-104": ("bookshelf", 149_00),
}
SUMMARIES = (
    "The vendor may change prices with 30 days' notice; the contract has no cap.",
    "Liability is limited to fees of the last 12 months, except for data protection.",
    "It renews by itself each year; notice is due 90 days before.",
)


class Models:
    """Answers by the tools that are on offer, as agents of that kind do."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self._clock.turn(RNG.uniform(0.9, 4.2))
        tools = {tool.name for tool in request.tools}
        said = " ".join(getattr(m, "text", "") for m in request.messages)
        results = sum(m.role == "tool" for m in request.messages)
        usage = Usage(
            input_tokens=RNG.randint(900, 4200) + 700 * results,
            output_tokens=RNG.randint(60, 420),
            cached_tokens=RNG.choice((0, 640)),
        )
        text, calls = "", list[tuple[str, dict[str, Any]]]()
        if "refund" in tools:
            text, calls = self._desk(said, results)
        elif "pay" in tools:
            text, calls = self._clerk(said, results)
        elif "search" in tools:
            text, calls = self._researcher(said, results)
        else:
            text = RNG.choice(SUMMARIES)
        made = tuple(ToolCall(id=f"c{results}{i}", name=n, arguments=a) for i, (n, a) in enumerate(calls))
        return ModelReply(text=text, tool_calls=made, usage=usage, model=model.partition(":")[2])

    def _desk(self, said: str, results: int) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        order = next((o for o in ORDERS if o in said), "A-101")
        cents = ORDERS[order][1]
        if results == 0:
            return "I need to know what was paid.", [("find_order", {"order": order})]
        if results == 1:
            why = f"The article came broken, so all of it is due: ${cents / 100:.2f}."
            return why, [("refund", {"order": order, "cents": cents, "reason": "came broken"})]
        if results == 2 and "not called" not in said:
            mail = f"We have paid ${cents / 100:.2f} back to you for order {order}."
            return "The customer should hear the exact amount.", [
                ("send_reply", {"order": order, "text": mail})
            ]
        return "Solved: the customer has been told." if "not called" not in said else "Not refunded.", []

    def _clerk(self, said: str, results: int) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        number = next((n for n in INVOICES if n in said), "INV-2042")
        name, cents, iban = INVOICES[number]
        if results == 0:
            why = "What is asked for, and what do we know of the supplier?"
            return why, [("read_invoice", {"number": number}), ("find_supplier", {"name": name})]
        if results == 2:
            return "The invoice is for what was ordered.", [
                ("pay", {"invoice": number, "payee": name, "iban": iban, "cents": cents})
            ]
        if results == 3 and "payment" in said:
            return "It has to stand in the ledger.", [
                ("book", {"invoice": number, "payment": f"P-{number[4:]}"})
            ]
        return f"Invoice {number} is paid and booked.", []

    def _researcher(self, said: str, results: int) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        questions = ("who decides there", "what they bought last year", "news of this month", "their size")
        if results < 8:
            asked = [("search", {"question": questions[(results + i) % 4]}) for i in range(2)]
            return "Two more questions, then I know enough.", asked
        return "They opened a second plant in May and hire buyers: call them first.", []


def company(store: str, clock: TurnedClock, folder: Path) -> App:
    """The app with its agents."""
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "company.cedar").write_text(POLICIES)
    app = App(
        store,
        clock=clock,
        lease=timedelta(days=30),
        policies=policies,
        prices={"version": "2026-11"},
        approvals={"groups": {"managers": ("cem", "dana")}, "most_per_hour": 0},
    )
    models = Models(clock)
    app.models.register("openai", models)
    app.models.register("anthropic", models)
    _desk(app, clock)
    _payables(app, clock)
    _research(app, clock)
    _others(app, clock)
    return app


def _desk(app: App, clock: TurnedClock) -> None:
    @app.tool(effect="read")
    def find_order(order: str) -> Order:
        clock.turn(RNG.uniform(0.08, 0.4))
        return Order(order=order, article=ORDERS[order][0], paid_cents=ORDERS[order][1])

    @app.tool(effect="write", needs_approval=lambda cents: cents > 50_00)
    def refund(order: str, cents: int, reason: str) -> str:
        """Pay money back for an order, to where it came from."""
        clock.turn(RNG.uniform(0.3, 1.2))
        if order == "A-103":
            raise ConnectionResetError("the payment service closed the connection after it had the request")
        return f"refunded {cents / 100:.2f}"

    @app.tool(effect="idempotent")
    def send_reply(order: str, text: str) -> str:
        clock.turn(RNG.uniform(0.1, 0.5))
        return "queued"

    for version in ("7", "8"):

        @app.agent("refund-desk", version=version, budget=Budget(money="0.50"))
        async def refund_desk(run: Run, case: dict[str, str]) -> str:
            urgency = await run.decide(
                "urgency",
                ["now", "today", "this week"],
                "today",
                reason="a refund, and no complaint before it",
                confidence=round(RNG.uniform(0.6, 0.97), 2),
                unknowns=["whether the customer still has the article"],
            )
            run.progress("reading the case", done=1, total=3, urgency=urgency)
            return await run.model(
                SMALL, f"{case['text']}", tools=[find_order, refund, send_reply], name="case", fallback=LARGE
            )


def _payables(app: App, clock: TurnedClock) -> None:
    @app.tool(effect="read", labels=["untrusted"])
    def read_invoice(number: str) -> dict[str, Any]:
        """Read an invoice as it came in."""
        clock.turn(RNG.uniform(0.2, 0.9))
        name, cents, iban = INVOICES[number]
        return {"number": number, "supplier": name, "cents": cents, "pay_to": iban}

    @app.tool(effect="read", labels=["trusted"])
    def find_supplier(name: str) -> Supplier | None:
        """Look a supplier up in the company's own register."""
        clock.turn(RNG.uniform(0.05, 0.3))
        return Supplier(name=name, iban=REGISTER[name]) if name in REGISTER else None

    @app.tool(effect="write")
    def pay(invoice: str, payee: str, iban: str, cents: int) -> dict[str, Any]:
        """Pay an amount (in cents) to an account."""
        clock.turn(RNG.uniform(0.5, 1.8))
        return {"payment": f"P-{invoice[4:]}", "cents": cents}

    @app.tool(effect="idempotent")
    def book(invoice: str, payment: str) -> str:
        clock.turn(RNG.uniform(0.1, 0.4))
        return f"booked {payment}"

    @app.agent("payables", version="3", budget=Budget(money="1.00"))
    async def payables(run: Run, number: str) -> str:
        return await run.model(
            SMALL, f"Pay invoice {number}.", tools=[read_invoice, find_supplier, pay, book], name="invoice"
        )


def _research(app: App, clock: TurnedClock) -> None:
    flaky = {"left": 2}

    @app.tool(effect="read", retry=Retry(attempts=3, first=timedelta(milliseconds=10)))
    def search(question: str) -> str:
        clock.turn(RNG.uniform(0.3, 2.5))
        if flaky["left"] and RNG.random() < 0.2:
            flaky["left"] -= 1
            raise ConnectionRefusedError("search.internal:443 refused the connection")
        return f"three pages about {question}"

    @app.agent("lead-research", version="12")
    async def lead_research(run: Run, company: str) -> str:
        return await run.model(LARGE, f"What do we need to know of {company}?", tools=[search], name="lead")

    @app.agent("campaign", version="2")
    async def campaign(run: Run, companies: list[str]) -> dict[str, str]:
        run.progress("researching", done=0, total=len(companies))
        found = await run.gather(*(run.child("lead-research", name) for name in companies))
        run.progress("researched", done=len(companies), total=len(companies))
        return dict(zip(companies, found, strict=True))


def _others(app: App, clock: TurnedClock) -> None:
    @app.agent("contract-review", version="1.4")
    async def contract_review(run: Run, contract: dict[str, Any]) -> str:
        for page in range(1, contract["pages"] + 1):
            await run.model(LARGE, f"Page {page} of {contract['name']}: what binds us?", name="read page")
            run.progress("pages read", done=page, total=contract["pages"])
        verdict = await run.decide(
            "sign",
            ["sign", "sign with changes", "hand to legal"],
            contract["verdict"],
            reason="the price clause has no cap, and liability is not mutual",
            confidence=contract["sure"],
            unknowns=["whether the vendor negotiates"],
        )
        if verdict == "hand to legal":
            await run.escalate(
                "two clauses are outside of what we may accept", context={"clauses": ["4.2", "11"]}
            )
        if verdict == "broken":
            raise RuntimeError("page 3 cannot be read: the scan is upside down")
        return f"{verdict}: {contract['name']}"

    @app.agent("nightly-report", version="5")
    async def nightly_report(run: Run, day: str) -> dict[str, int]:
        await run.step("collect", lambda: clock.turn(4.0))
        await run.sleep(timedelta(hours=3))
        await run.step("render", lambda: clock.turn(2.0))
        return {"rows": 1204}

    @app.agent("sync", version="9")
    async def sync(run: Run, steps: int) -> int:
        for n in range(steps):
            await run.step("page", lambda n=n: {"rows": n})
        return steps

    @app.agent("onboarding", version="2")
    async def onboarding(run: Run, customer: str) -> str:
        plan = await run.ask(
            f"Which plan did {customer} agree to?", choices=["starter", "team", "enterprise"]
        )
        return str(plan)

    @app.agent("hold", version="1")
    async def hold(run: Run, what: str) -> str:
        run.progress(what, done=3, total=11)
        await run.step("crawl", hang)
        return what

    async def hang() -> None:
        await asyncio.Event().wait()

    @app.agent("mailer", version="1")
    async def mailer(run: Run, to: str) -> str:
        raise Refused(f"`{to}` is outside of what this agent may write to")


# what happens ----------------------------------------------------------------------------------------------------


async def fill(app: App, clock: TurnedClock) -> None:
    """A week: inside `async with app`."""
    people = ["ann", "ben", "cem", "eva"]

    def acting(name: str) -> Principal:
        return Principal(
            subject=f"user:{name}", issuer="https://login.example.org", grants=frozenset({"payments:write"})
        )

    async def one(agent: Any, given: Any, id: str, *, after: float = 600, **more: Any) -> str:
        clock.turn(after)
        who = more.pop("who", RNG.choice(people))
        handle = await app.start(agent, given, run_id=id, on_behalf_of=acting(who), **more)
        await until(lambda: _rests(app, handle.id))
        return handle.id

    older = app.agents["refund-desk", "7"]
    case = "Order {}: the {} came broken. I would like my money back."
    for n in range(14):
        order = ("A-102", "A-101", "A-104")[n % 3] if n else "A-102"
        agent = "refund-desk" if n >= 8 else older
        id = await one(
            agent,
            {"customer": f"C-{4100 + n}", "text": case.format(order, ORDERS[order][0])},
            f"case-{4100 + n}",
            labels={"channel": RNG.choice(("mail", "chat")), "region": RNG.choice(("eu", "us"))},
            after=RNG.uniform(900, 5400),
        )
        if n not in (11, 12, 13):
            await _answer(
                app, clock, id, approved=n != 4, reason="" if n != 4 else "it was delivered whole: see photo"
            )
    for n, number in enumerate(("INV-2042", "INV-2041")):
        await one(
            "payables", number, f"pay-{number.lower()}", labels={"cost-centre": str(700 + n)}, who="ann"
        )
    await one(
        "campaign", ["Halden Works", "Brio AG", "Seaforth"], "campaign-autumn", labels={"team": "sales"}
    )
    await one("lead-research", "Kestrel Foods", "lead-kestrel")
    await one(
        "contract-review",
        {"name": "Hosting 2027", "pages": 6, "verdict": "sign with changes", "sure": 0.81},
        "contract-hosting",
    )
    await one(
        "contract-review",
        {"name": "Lease Pier 4", "pages": 4, "verdict": "hand to legal", "sure": 0.42},
        "contract-pier4",
    )
    await one(
        "contract-review",
        {"name": "NDA Brio", "pages": 3, "verdict": "broken", "sure": 0.3},
        "contract-nda-brio",
    )
    await one("mailer", "press@example.org", "mail-press")
    await one("sync", 640, "sync-products", labels={"source": "erp"})
    await one(
        "refund-desk", {"customer": "C-4190", "text": case.format("A-103", "office chair")}, "case-4190"
    )
    await _answer(app, clock, "case-4190", approved=True, reason="photo shows the broken arm")
    await one("nightly-report", "2026-11-25", "report-2026-11-25", after=3000)
    await one("onboarding", "Seaforth", "onboarding-seaforth")
    paused = await one("nightly-report", "2026-11-26", "report-2026-11-26")
    await app.pause(paused, by="user:ben")
    cancelled = await one("onboarding", "Brio AG", "onboarding-brio")
    await app.cancel(cancelled, reason="they signed with somebody else", by="user:ann")
    clock.until(time.time_ns() // 1000 - 55 * 60_000_000)
    await one("payables", "INV-2043", "pay-inv-2043", labels={"cost-centre": "702"}, who="ann", after=60)
    await one("payables", "INV-2044", "pay-inv-2044", labels={"cost-centre": "702"}, who="ben", after=900)
    for n, what in enumerate(("catalogue pages", "price lists")):
        clock.turn(240)
        handle = await app.start("hold", what, run_id=f"crawl-{n + 1}", by="system:nightly")
        await until(lambda handle=handle: _is(app, handle.id, RunStatus.RUNNING))
    clock.until(time.time_ns() // 1000)


async def _answer(app: App, clock: TurnedClock, run: str, *, approved: bool, reason: str) -> None:
    for asked in await app.open_approvals(run):
        clock.turn(RNG.uniform(300, 4000))
        await app.answer(
            run, asked.step, approved=approved, by="user:dana", reason=reason or None, digest=asked.digest
        )
        await until(lambda: _rests(app, run))


async def _rests(app: App, run: str) -> bool:
    record = await app.store.get(app.ref(run))
    at_rest = record is not None and record.status not in (RunStatus.PENDING, RunStatus.RUNNING)
    return at_rest and record is not None and record.inbox_seq == record.drained_seq


async def _is(app: App, run: str, status: RunStatus) -> bool:
    record = await app.store.get(app.ref(run))
    return record is not None and record.status is status


async def until(there: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not await there():  # noqa: ASYNC110  # of a store, which has no event for each state
            await asyncio.sleep(0.005)
