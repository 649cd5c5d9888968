"""The sales desk: four narrow nodes, one approval, one mail. This is the file to read first.

    lead ──► research ──► plan ──► select ──► draft ──► a person ──► send_email ──► log_contact
             documents     └────────── a model ──────────┘   says yes       once

Each node is an agent of its own: it sees only what it needs, and when it fails, it fails alone. `app` is what
`perdure worker examples/sales_desk/agents.py:app` works for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta

import library
import mail
from executions import note
from models import Counted
from settings import Settings
from shapes import (
    Angle,
    Choice,
    Document,
    Draft,
    Drafting,
    Found,
    Lead,
    MailText,
    Notes,
    Plan,
    Planning,
    Receipt,
    Report,
    Selecting,
)

from perdure import DID_NOT_HAPPEN, App, EffectKey, Happened, Run, RunFailed, Verdict

settings = Settings.from_environment()

# A short lease, so that a killed worker's runs are taken over while you watch. The default is 10 seconds.
app = App(settings.store, lease=timedelta(seconds=2))
app.models.register("counted", Counted(app, settings))

MODEL = f"counted:{settings.model}"

SYSTEM = (
    "You work at the sales desk of Harrow & Pike, who sell sensors that say when a bearing is about to fail. "
    "Use only what you are given. Write plainly; promise nothing."
)

QUESTIONS = (
    "cost of standstill or failure",
    "bearings, gearboxes, pumps, rollers",
    "planned or due next year",
)


class NothingKnown(Exception):
    """There is no document about this company, and the desk does not write to strangers."""


# tools -----------------------------------------------------------------------------------------------------------


@app.tool(effect="read")
def search(company: str, question: str) -> Found:
    note(settings.executions, "search", f"{company}: {question}")
    return library.search(company, question, settings.documents)


@app.tool(effect="read")
def read_document(company: str, document: str) -> Document:
    note(settings.executions, "read_document", f"{company}: {document}")
    return library.read(company, document, settings.documents)


def was_sent(to: str, subject: str, body: str, key: EffectKey) -> Verdict:
    """Asked when nobody knows whether the mail went out: the mail server does."""
    note(settings.executions, "was_sent", key)
    if mail.is_there(key, settings.sent):
        return Happened(Receipt(message_id=mail.message_id(key), to=to))
    return DID_NOT_HAPPEN


def recall(to: str, subject: str, body: str, key: EffectKey) -> None:
    """A mail cannot be unsent. What can be done is to say sorry, once."""
    note(settings.executions, "recall", key)
    sorry = Draft(
        to=to, subject=f"Please disregard: {subject}", body="My last mail was sent by mistake. Sorry."
    )
    mail.send(sorry, key, settings.smtp)


@app.tool(effect="write", verify=was_sent, compensate=recall, timeout=timedelta(seconds=mail.PATIENCE))
def send_email(to: str, subject: str, body: str, key: EffectKey = EffectKey("")) -> Receipt:
    note(settings.executions, "send_email", key)
    sent = mail.send(Draft(to=to, subject=subject, body=body), key, settings.smtp)
    return Receipt(message_id=sent, to=to)


@app.tool(effect="idempotent")
def log_contact(company: str, subject: str, key: EffectKey = EffectKey("")) -> str:
    """One file for each key: done twice, it is still there once."""
    note(settings.executions, "log_contact", key)
    settings.crm.mkdir(parents=True, exist_ok=True)
    file = settings.crm / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.txt"
    file.write_text(f"{company}: {subject}\n", encoding="utf-8")
    return file.name


# nodes -----------------------------------------------------------------------------------------------------------


@app.agent("research", version="1")
async def research(run: Run, lead: Lead) -> Notes:
    found = await run.gather(*(run.call(search, lead.company, question) for question in QUESTIONS))
    hits = Counter(hit.document for each in found for hit in each.hits)
    names = [name for name, _ in hits.most_common(3)]
    if not names:
        raise NothingKnown(f"no document names {lead.company}")
    documents = await run.gather(*(run.call(read_document, lead.company, name) for name in names))
    texts = "\n\n".join(f"## {d.name}\n{d.text}" for d in documents)
    prompt = f"Lead: {lead.company}\nTask: what is known that matters to them?\nSources: {', '.join(names)}\n\n{texts}"
    return await run.model(MODEL, prompt, output=Notes, system=SYSTEM, name="research")


@app.agent("plan", version="1")
async def plan(run: Run, asked: Planning) -> Plan:
    facts = "\n".join(f"- {fact}" for fact in asked.notes.facts)
    prompt = (
        f"Lead: {asked.lead.company}\nTask: two to four angles for a first mail, from these facts:\n{facts}"
    )
    return await run.model(MODEL, prompt, output=Plan, system=SYSTEM, name="plan")


@app.agent("select", version="1")
async def select(run: Run, asked: Selecting) -> Choice:
    titles = [angle.title for angle in asked.plan.angles]
    angles = "\n".join(f"- {angle.title}: {angle.argument}" for angle in asked.plan.angles)
    prompt = (
        f"Lead: {asked.lead.company}\nTask: the best angle for a {asked.lead.role}, by its title:\n{angles}"
    )
    choice: Choice = await run.model(MODEL, prompt, output=Choice, system=SYSTEM, name="select")
    if choice.title not in titles:
        raise ValueError(f"the model chose `{choice.title}`, which is none of {titles}")
    await run.decide(
        "angle",
        titles,
        choice.title,
        reason=choice.reason,
        confidence=choice.confidence,
        unknowns=choice.unknowns,
    )
    return choice


@app.agent("draft", version="1")
async def draft(run: Run, asked: Drafting) -> Draft:
    lead, angle = asked.lead, asked.angle
    facts = "\n".join(f"- {fact}" for fact in asked.notes.facts)
    prompt = (
        f"Lead: {lead.company}\nTo: {lead.contact}, {lead.role}\n"
        f"Angle: {angle.title}: {angle.argument}\nTask: a first mail of at most 120 words.\n{facts}"
    )
    text: MailText = await run.model(MODEL, prompt, output=MailText, system=SYSTEM, name="draft")
    return Draft(to=lead.email, subject=text.subject, body=text.body)


# the desk --------------------------------------------------------------------------------------------------------


@app.agent("sales-desk", version="1")
async def sales_desk(run: Run, lead: Lead) -> Report:
    try:
        text, angle = await prepare(run, lead)
    except RunFailed as failed:  # one node of one lead; the others do not notice
        return Report(company=lead.company, outcome="nothing sent", reason=why(failed))

    run.progress("approval", done=4, total=5)
    answer = await run.ask(f"Send this mail to {lead.contact}?", show=text, timeout=timedelta(days=3))
    if not answer:
        return Report(company=lead.company, outcome="declined", reason=answer.reason or "", angle=angle.title)
    if answer.value is not None:  # the person has changed it
        text = Draft.model_validate(answer.value)

    run.progress("send", done=5, total=5)
    receipt = await run.call(send_email, text.to, text.subject, text.body)
    try:
        await run.call(log_contact, lead.company, text.subject)
    except Exception:
        await run.compensate()  # a customer we do not know of is worse than an apology
        raise
    return Report(company=lead.company, outcome="sent", angle=angle.title, receipt=receipt)


def why(failed: RunFailed) -> str:
    """The failed node's own words."""
    return getattr(failed.failure, "message", str(failed))


async def prepare(run: Run, lead: Lead) -> tuple[Draft, Angle]:
    run.progress("research", done=0, total=5)
    notes: Notes = await run.child(research, lead)
    run.progress("plan", done=1, total=5)
    angles: Plan = await run.child(plan, Planning(lead=lead, notes=notes))
    run.progress("select", done=2, total=5)
    choice: Choice = await run.child(select, Selecting(lead=lead, plan=angles))
    angle = next(a for a in angles.angles if a.title == choice.title)
    run.progress("draft", done=3, total=5)
    return await run.child(draft, Drafting(lead=lead, notes=notes, angle=angle)), angle
