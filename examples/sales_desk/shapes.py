"""What goes into the desk, what comes out, and what its four nodes hand to each other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lead(Shape):
    """A line of leads.csv."""

    company: str
    contact: str
    role: str
    email: str
    note: str = ""


class Hit(Shape):
    document: str
    line: str


class Found(Shape):
    """What a search gave."""

    company: str
    question: str
    hits: list[Hit]


class Document(Shape):
    company: str
    name: str
    text: str


class Notes(Shape):
    """What research found out, each fact with the document that says so."""

    facts: list[str] = Field(min_length=1, max_length=12)
    sources: list[str]
    open_questions: list[str] = []


class Angle(Shape):
    """One way to open the conversation."""

    title: str
    argument: str


class Plan(Shape):
    angles: list[Angle] = Field(min_length=2, max_length=4)


class Choice(Shape):
    """The angle that was taken, and how sure that is."""

    title: str
    reason: str
    confidence: float = Field(ge=0, le=1)
    unknowns: list[str] = []


class Draft(Shape):
    to: str
    subject: str
    body: str


class MailText(Shape):
    """What the model writes; the address is not its business."""

    subject: str = Field(max_length=120)
    body: str


class Receipt(Shape):
    """Proof that the mail server has the mail."""

    message_id: str
    to: str


class Report(Shape):
    """How a lead ended."""

    company: str
    outcome: str
    """`sent`, `declined`, or `nothing sent`"""
    reason: str = ""
    angle: str = ""
    receipt: Receipt | None = None


class Planning(Shape):
    """Input of the node `plan`."""

    lead: Lead
    notes: Notes


class Selecting(Shape):
    """Input of the node `select`."""

    lead: Lead
    plan: Plan


class Drafting(Shape):
    """Input of the node `draft`."""

    lead: Lead
    notes: Notes
    angle: Angle
