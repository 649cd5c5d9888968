"""The messenger: delivers the notices of the outbox, and passes on what nobody acknowledges.

Every worker that knows contacts has one; each notice is taken by one of them, under a lease: where that dies, another
takes it again, under the same id. What is delivered of an ended run's escalation, and who has taken note, stands in
its journal.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pydantic_core

from ..core.clock import to_micros
from ..core.contacts import Contact, Contacts
from ..core.errors import ConfigError, RunNotEnded, RunPruned, StoreError
from ..core.failures import Diagnosis, FailureClass
from ..core.ids import RunRef
from ..governance.notices import KIND, Notice, change_notice, take_notice
from ..governance.question_links import QuestionLinks
from ..journal import Amendment, CellKey, Kind, Store
from ..runtime import Retry
from ..runtime.boundary.diagnosis import diagnose

__all__ = ["Messenger", "next_contact"]

log = logging.getLogger("perdure.worker")

LOOK_SECONDS = 1.0
BATCH = 20

LEASE_MICROS = 60_000_000
"""Longer than a delivery takes: then another messenger tries."""

PATIENCE = Retry(
    attempts=8,
    first=timedelta(seconds=2),
    most=timedelta(minutes=5),
    total=timedelta(hours=1),
    on=frozenset(FailureClass),  # also what looks permanent: somebody may mend the address meanwhile
)

Changed = tuple[Notice | None, int | None]


class Messenger:
    """Delivers what is due. `contacts` is asked each time: a program may set them while it works."""

    def __init__(
        self,
        store: Store,
        contacts: Callable[[], Contacts],
        *,
        name: str,
        retry: Retry = PATIENCE,
        draw: Callable[[], float] = random.random,
        links: QuestionLinks | None = None,
    ) -> None:
        self._store = store
        self._contacts = contacts
        self._name = name
        self._retry = retry
        self._draw = draw
        self._links = links
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Look, deliver, rest; for as long as the worker works."""
        while True:
            full = False
            try:
                full = await self.tick()
            except StoreError as error:
                log.warning("notices: %s; trying again later", error)
            except Exception:
                log.exception("a fault in the messenger; it goes on")
            if not full:
                await asyncio.sleep(LOOK_SECONDS)

    async def tick(self) -> bool:
        """Deliver what is due now. Whether there is more."""
        contacts = self._contacts()
        due = await self._store.due_cells(KIND, limit=BATCH)
        mine: list[tuple[CellKey, str, Contact]] = []
        for key, cell in due:
            to = Notice.of(key, cell).to
            found = contacts.find(to)
            if found is None:
                self._warn(key, to)
            else:
                mine.append((key, *found))
        await asyncio.gather(*(self._look_at(key, contacts, name, contact) for key, name, contact in mine))
        return len(due) == BATCH and bool(mine)

    def _warn(self, key: CellKey, to: str | None) -> None:
        if key.name not in self._warned and len(self._warned) < 10_000:
            self._warned.add(key.name)
            whom = "no contact is configured" if to is None else f"this worker knows no contact `{to}`"
            log.error(
                "the notice `%s` of tenant `%s` is not delivered by this worker: %s; add it to [contacts] in "
                "perdure.toml",
                key.name,
                key.tenant,
                whom,
            )

    async def _look_at(self, key: CellKey, contacts: Contacts, name: str, contact: Contact) -> None:
        notice: Notice | None = await self._store.amend(take_notice(key, self._name, LEASE_MICROS))
        if notice is None:
            return
        if notice.state == "delivered":
            why = f"`{name}` did not acknowledge it within {contact.ack_within}"
            await self._pass_on(key, notice, contacts, name, contact, why)
            return
        try:
            now = self._store.now()
            link = None if self._links is None else await self._links.of(notice, key.tenant, name, now=now)
            from .channels import send  # with the parts of HTTP and SMTP, which few processes need

            deliver = functools.partial(send, contacts, name, notice, tenant=key.tenant, at=now, link=link)
            await asyncio.to_thread(deliver)
        except Exception as error:
            await self._failed(key, notice, contacts, name, contact, error)
        else:
            await self._delivered(key, notice, name, contact)

    async def _delivered(self, key: CellKey, notice: Notice, name: str, contact: Contact) -> None:
        def make(now_is: Notice, now: int) -> Changed:
            if not now_is.ack:
                return None, None
            due = None if contact.ack_within is None else now + to_micros(contact.ack_within)
            return replace(
                now_is, state="delivered", to=name, holder=None, attempts=0, delivered_at=now, why=""
            ), due

        log.info("run %s/%s: %s told to `%s`", key.tenant, notice.run, notice.kind, name)
        await self._say(key, notice, make, {"what": "delivered", "to": name})

    async def _failed(
        self,
        key: CellKey,
        notice: Notice,
        contacts: Contacts,
        name: str,
        contact: Contact,
        error: Exception,
    ) -> None:
        why = f"{type(error).__name__}: {error}"[:500]
        attempts = notice.attempts + 1
        diagnosis = Diagnosis(FailureClass.PERMANENT) if isinstance(error, ConfigError) else diagnose(error)
        passed = timedelta(microseconds=max(self._store.now() - notice.created, 0))
        wait = self._retry.wait(
            attempts, diagnosis, self._draw, passed=passed if not notice.passed else timedelta()
        )
        log.warning(
            "run %s/%s: %s could not be told to `%s` (attempt %d): %s",
            key.tenant, notice.run, notice.kind, name, attempts, why,
        )  # fmt: skip
        if wait is None:
            await self._pass_on(key, notice, contacts, name, contact, f"`{name}` could not be reached: {why}")
            return

        def make(now_is: Notice, now: int) -> Changed:
            return replace(now_is, attempts=attempts, holder=None, why=why), now + to_micros(wait)

        await self._store.amend(change_notice(key, make, holder=self._name))

    async def _pass_on(
        self, key: CellKey, notice: Notice, contacts: Contacts, name: str, contact: Contact, why: str
    ) -> None:
        """To the next contact; where there is none, an alarm."""
        following = next_contact(contacts, notice, name, contact)

        def make(now_is: Notice, now: int) -> Changed:
            if following is None:
                return replace(now_is, state="unanswered", to=name, holder=None, why=why), None
            passed = (*now_is.passed, name)
            return replace(
                now_is, state="open", to=following, passed=passed, attempts=0, holder=None, why=why
            ), now

        if following is None:
            log.critical(
                "NOBODY ANSWERS: %s of run %s/%s: %s. %s. `perdure escalations ack %s` takes it",
                notice.kind, key.tenant, notice.run, notice.subject, why, notice.run,
            )  # fmt: skip
        else:
            log.error("run %s/%s: passed on to `%s`: %s", key.tenant, notice.run, following, why)
        said = {"what": "unanswered" if following is None else "passed", "to": following, "why": why}
        await self._say(key, notice, make, said)

    async def _say(
        self, key: CellKey, notice: Notice, make: Callable[[Notice, int], Changed], said: dict[str, Any]
    ) -> None:
        """Change the cell; of an escalation or an alert a journal says so, in the same transaction."""
        amendment: Amendment = change_notice(key, make, holder=self._name)
        log_id = notice.run if notice.kind == "escalation" else notice.log
        if log_id is not None:
            told = pydantic_core.to_json({**said, "notice": notice.id})
            try:
                entry = await self._store.annotate(
                    RunRef(key.tenant, log_id),
                    Kind.ESCALATION,
                    told,
                    actor=self._name,
                    amendments=[amendment],
                )
            except (RunPruned, RunNotEnded):  # nothing can be added to it; it was let go on from its end
                entry = None
            if entry is not None:
                return
        await self._store.amend(amendment)


def next_contact(contacts: Contacts, notice: Notice, name: str, contact: Contact) -> str | None:
    """Who is next; None: nobody, or all of them had it already."""
    then = contact.then
    return None if then is None or then == name or then in notice.passed else then
