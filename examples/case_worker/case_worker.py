"""An agent that works on a customer's case for four days, and remembers. This is the file to read first.

    day ──► who is it?       knowledge: dated facts about the customer; in doubt a person says who is who
        ──► what is there?   working memory: the handbook, and what the customer has sent; found again within a budget
        ──► what was said?   session: the conversation
        ──► what is left?    the series: each run takes up what the run of the day before has left
        ──► model ⇄ crm, tickets, files     tools of MCP servers that a person has reviewed

`app` is what a worker works for. Its settings are in `perdure.toml`, which the demo writes; what it may do is in
`policies/case_worker.cedar`, and nothing that it reads or remembers can change it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Literal

from pydantic import BaseModel

from perdure import App, Refused, Run
from perdure.memory.knowledge import Entity

app = App.from_config()

CASE = "case-4711"
CUSTOMER = "Nora Lindh"
MODEL = "openai:gpt-5-mini"
BUDGET = 330
"""tokens of what is recalled that a prompt may hold"""

ITEMS = {
    "who": "Find out who writes, and what is known of her",
    "receipt": "Keep what she sends as evidence",
    "refund": "Refund what was charged twice",
    "answer": "Answer her",
}


class Day(BaseModel):
    date: date
    mail: str = ""
    attachment: str = ""


class Step(BaseModel):
    """What the model says when it is done with an item."""

    state: Literal["done", "tried", "open"]
    summary: str


class Report(BaseModel):
    number: int
    """of the run in its series"""
    found_done: list[str]
    """items that the days before have left done"""
    customer: int
    recalled: int
    """tokens of what was recalled, at most for one item"""
    left_out: int
    """passages that were found and did not fit"""
    said: dict[str, str]


class Desk:
    """What the work of one day needs."""

    def __init__(self, run: Run, day: Day) -> None:
        self.run = run
        self.day = day
        self.session = run.session(CASE)
        self.notes = run.working(CASE)
        self.recalled = self.left_out = 0
        self.customer: Entity | None = None

    async def open(self) -> Entity:
        """The tools as they were reviewed, and who the case is about."""
        self.crm = await app.mcp.tools(self.run, "crm")
        self.tickets = await app.mcp.tools(self.run, "tickets")
        self.files = await app.mcp.tools(self.run, "files")
        return await self.run.knowledge.entity("customer", CUSTOMER)

    async def who(self, customer: Entity) -> Step:
        """The company's own records: a read, which another worker asks again."""
        found = await self.run.call(self.crm["find_customer"], name=customer.name)
        told = found.structured
        await self.run.knowledge.say(
            customer, "lives in", told["city"], valid_from=told["since"], confidence=1.0
        )
        return Step(state="done", summary=f"{told['id']}, customer since {told['since']}")

    async def receipt(self, customer: Entity) -> Step:
        """Whatever stands in it is a stranger's word, and stays one: here, in memory, and tomorrow."""
        if not self.day.attachment:
            return Step(state="open", summary="nothing has come yet")
        read = await self.run.call(self.files["read_attachment"], name=self.day.attachment)
        await self.notes.add(read.text, kind="document", source=self.day.attachment)
        address = next(line for line in read.text.splitlines() if line.startswith("Address: "))
        said = await self.run.knowledge.say(
            customer, "lives in", address.removeprefix("Address: "), valid_from="2019-03-01", confidence=0.5
        )
        against = f"; {len(said.contradicts)} fact says otherwise" if said.contradicts else ""
        return Step(state="done", summary=f"kept{against}")

    async def by_model(self, item: str, title: str) -> Step:
        found = await self.notes.pack(f"{title} {item} account", budget_tokens=BUDGET)
        self.recalled = max(self.recalled, found.tokens)
        self.left_out += len(found.left_out)
        history = await self.session.history(last=20)
        return await self.run.model(
            MODEL,
            history.asking(f"Task: {title}.\n\n{found}"),
            output=Step,
            tools=[*self.crm, *self.tickets],
            system=f"You work on {CASE} of {CUSTOMER}. Today is {self.day.date}.",
            name=item,
        )


@app.agent("case-worker", series=CASE)
async def case_worker(run: Run, day: Day) -> Report:
    before = await run.handover()
    run.add_items(ITEMS)
    desk = Desk(run, day)
    customer = await desk.open()
    if day.mail:
        await desk.session.append("user", day.mail)
    by_code: dict[str, Callable[[Entity], Awaitable[Step]]] = {"who": desk.who, "receipt": desk.receipt}
    said: dict[str, str] = {}
    while item := await run.next_item(most_runs=9):
        try:
            known = by_code.get(item.id)
            step = await (known(customer) if known else desk.by_model(item.id, item.title))
        except Refused as refused:
            step = Step(state="tried", summary=str(refused))
        run.progress(step.summary, item=item.id, state=step.state)
        said[item.id] = step.summary
    await desk.session.append("assistant", {"date": str(day.date), **said})
    return Report(
        number=before.number,
        found_done=[item.id for item in before.done],
        customer=customer.id,
        recalled=desk.recalled,
        left_out=desk.left_out,
        said=said,
    )


@app.agent("librarian")
async def librarian(run: Run, handbook: dict[str, str]) -> int:
    """What the desk knew before: its handbook, and a customer of last year."""
    notes = run.working(CASE)
    for source, text in handbook.items():
        await notes.add(text, kind="document", source=source)
    customer = await run.knowledge.entity("customer", "Nora Lind")
    await run.knowledge.say(customer, "has bought", "a desk lamp", valid_from="2025-05-02")
    return customer.id
