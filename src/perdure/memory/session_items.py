"""Sessions before those who govern memory: their messages, values and summaries as items; any backend of `Sessions`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any

from ..core.errors import ConfigError, VersionConflict
from .port import Kept, Message, Origin, Place, SessionHead, Sessions, Summary, Written
from .remembered import DoneWrite, Item, ItemPage, ItemQuery, ProposedWrite, Whose

__all__ = ["SESSION", "SessionItems", "write"]

SESSION = "session"
_HEADS = 100
_PAGE = 1000


async def write(
    sessions: Sessions,
    place: Place,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    origin: Origin,
    key: str,
    most: timedelta | None = None,
) -> Written:
    """Do a write of that name, with the arguments of its step: by the run itself, or when it was accepted.

    Nothing is kept longer than `most`.
    """
    seconds = arguments.get("ttl")
    ttl = most if seconds is None else timedelta(seconds=seconds)
    ttl = ttl if most is None or ttl is None else min(ttl, most)
    match tool:
        case "session_append":
            return await sessions.append(
                place, arguments["role"], arguments["content"], origin=origin, key=key, ttl=ttl
            )
        case "session_set":
            return await sessions.set(
                place,
                arguments["name"],
                arguments["value"],
                origin=origin,
                key=key,
                if_version=arguments["if_version"],
                ttl=ttl,
            )
        case "session_delete":
            return await sessions.delete(
                place, arguments["name"], key=key, if_version=arguments["if_version"]
            )
        case "session_compact":
            return await sessions.compact(
                place, arguments["summary"], upto=arguments["upto"], origin=origin, key=key
            )
        case _:
            raise ConfigError(f"`{tool}` is no write of a session")


class SessionItems:
    """The layer `session` of any backend."""

    layer = SESSION

    def __init__(self, sessions: Sessions, *, most: timedelta | None = None) -> None:
        """`most`: nothing is kept longer."""
        self._sessions = sessions
        self._most = most

    async def items(self, query: ItemQuery) -> ItemPage:
        """Items by sessions: of each the messages, then the values and the summary."""
        items: list[Item] = []
        looked = 0
        name, _, number = query.after.partition("#")
        if query.place is not None:
            heads = self._placed(query)
        elif number:
            head = await self._sessions.head(Place.of(query.tenant, name))
            heads = self._heads(query.tenant, name, first=head)
        else:
            heads = self._heads(query.tenant, name)
        async for head in heads:
            place = head.place
            if query.subject is None or place.subject == query.subject:
                n = int(number or 0)
                while page := await self._sessions.messages(place, after=n, limit=_PAGE, whole=True):
                    n = page[-1].n
                    looked += len(page)
                    items += [item for m in page if query.takes(item := _message(place, m))]
                    if query.place is None and (len(items) >= query.limit or looked >= query.look):
                        return ItemPage(items=items, next=f"{place.name}#{n}")
                rest = [_value(place, v) for v in await self._sessions.values(place)]
                if head.summary is not None:
                    rest.append(_summary(place, head.summary))
                looked += len(rest)
                items += [item for item in rest if query.takes(item)]
            number = ""
            looked += 1
            if query.place is None and (len(items) >= query.limit or looked >= query.look):
                return ItemPage(items=items, next=place.name)
        return ItemPage(items=items)

    async def accept(self, proposed: ProposedWrite) -> None:
        """Do a write that was held back, once."""
        whose = proposed.whose
        place = Place(whose.tenant, whose.subject, proposed.arguments["session"], whose.agent)
        done = await write(
            self._sessions,
            place,
            proposed.tool,
            proposed.arguments,
            origin=proposed.origin,
            key=proposed.key,
            most=self._most,
        )
        if done.conflict:
            raise VersionConflict(
                f"session `{place.session[:80]}` has changed since that was proposed (version {done.version} stands "
                "there), so it was not written: reject it, and let the agent decide anew",
                version=done.version,
            )

    async def withdraw(self, tenant: str, run: str, step: str | None, *, why: str) -> None:
        """Nothing more: what a write replaced or deleted is not there any more."""

    async def restore(
        self, tenant: str, run: str, step: str | None, *, writes: Mapping[str, DoneWrite]
    ) -> None:
        """Nothing more."""

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete the sessions of a data subject."""
        return await self._sessions.forget(tenant, subject)

    async def _placed(self, query: ItemQuery) -> AsyncGenerator[SessionHead]:
        for agent in {None, query.agent}:
            place = Place(query.tenant, query.subject, query.place or "", agent)
            if (head := await self._sessions.head(place)) is not None:
                yield head

    async def _heads(
        self, tenant: str, after: str, *, first: SessionHead | None = None
    ) -> AsyncGenerator[SessionHead]:
        if first is not None:
            yield first
        place = Place.of(tenant, after) if after else None
        while page := await self._sessions.ls(tenant, after=place, limit=_HEADS):
            for head in page:
                yield head
            place = page[-1].place


def _message(place: Place, m: Message) -> Item:
    where = f"{place.session} #{m.n}"
    return _item(place, "message", where, {"role": m.role, "content": m.content}, m.at, m.origin)


def _value(place: Place, v: Kept) -> Item:
    return _item(place, "value", f"{place.session} {v.key}", v.value, v.at, v.origin)


def _summary(place: Place, s: Summary) -> Item:
    return _item(place, "summary", f"{place.session} to #{s.upto}", s.text, s.at, s.origin)


def _item(place: Place, kind: str, where: str, content: Any, at: int, origin: Origin) -> Item:
    whose = Whose(place.tenant, place.subject, place.agent)
    return Item(layer=SESSION, kind=kind, whose=whose, place=where, content=content, at=at, origin=origin)
