"""A session in a run: its messages and values, as `run.session("case-17")` hands them out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ...core.errors import VersionConflict
from ...governance.policy.remembering import REMEMBERING
from ...memory import Kept, Message, Place, Sessions, Written
from ..boundary.handing import EffectKey
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from .steps import origin_of, recall, remember

__all__ = ["Session"]


class Session:
    """A conversation or a case over days and workers, of the run's tenant and, where it has one, its data subject.

    Each method is a step. What it returns is recorded, and the same in every replay; what a write has returned is seen
    by every read after it.
    """

    def __init__(self, recorder: Recorder, sessions: Sessions, name: str) -> None:
        self.name = name
        self._recorder = recorder
        self._sessions = sessions
        self._place = Place(recorder.ref.tenant, recorder.subject, name)
        _ = self._place.name  # refused here, and not in a step

    async def append(self, role: str, content: Any, *, ttl: timedelta | None = None) -> int:
        """Add a message; its number, from 1. After `ttl` it is not seen any more, and then deleted."""

        async def session_append(
            session: str, role: str, content: Any, ttl: float | None, key: EffectKey
        ) -> Written:
            return await self._sessions.append(
                self._place, role, content, origin=origin_of(self._recorder, key), key=key, ttl=_time(ttl)
            )

        return await self._write(session_append, role=role, content=content, ttl=_seconds(ttl))

    async def messages(
        self, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or at most `limit` of those behind number `after`; in order, at most 1,000 at once.

        A summary comes first, as a message of role `summary`, in place of those it sums up; not with `whole`.
        """

        async def session_messages(
            session: str, last: int | None, after: int, limit: int, whole: bool
        ) -> list[Message]:
            return await self._sessions.messages(
                self._place, last=last, after=after, limit=limit, whole=whole
            )

        return await self._read(session_messages, last=last, after=after, limit=limit, whole=whole)

    async def compact(self, summary: str, *, upto: int) -> None:
        """Let `summary` stand for the messages up to number `upto`. They are kept: `messages(whole=True)` has them.

        Raises `VersionConflict` where a summary goes as far already.
        """

        async def session_compact(session: str, summary: str, upto: int, key: EffectKey) -> Written:
            return await self._sessions.compact(
                self._place, summary, upto=upto, origin=origin_of(self._recorder, key), key=key
            )

        await self._write(session_compact, summary=summary, upto=upto)

    async def get(self, key: str) -> Kept | None:
        """What stands under a key, with its version; None: nothing does."""

        async def session_get(session: str, name: str) -> Kept | None:
            return await self._sessions.get(self._place, name)

        return await self._read(session_get, name=key)

    async def set(
        self, key: str, value: Any, *, if_version: int | None = None, ttl: timedelta | None = None
    ) -> int:
        """Put a value under a key; its version. With `if_version` (0: nothing) only where just that stands there.

        Raises `VersionConflict` where somebody else has written since: read it again, and decide anew.
        """

        async def session_set(
            session: str, name: str, value: Any, if_version: int | None, ttl: float | None, key: EffectKey
        ) -> Written:
            return await self._sessions.set(
                self._place,
                name,
                value,
                origin=origin_of(self._recorder, key),
                key=key,
                if_version=if_version,
                ttl=_time(ttl),
            )

        return await self._write(session_set, name=key, value=value, if_version=if_version, ttl=_seconds(ttl))

    async def delete(self, key: str, *, if_version: int | None = None) -> None:
        """Take a value away. Raises `VersionConflict` as `set` does."""

        async def session_delete(session: str, name: str, if_version: int | None, key: EffectKey) -> Written:
            return await self._sessions.delete(self._place, name, key=key, if_version=if_version)

        await self._write(session_delete, name=key, if_version=if_version)

    async def _write(self, function: Any, **arguments: Any) -> int:
        name = function.__name__
        form = dict(REMEMBERING[name].arguments)
        tool: Tool[..., Any] = Tool(function, name=name, effect="idempotent", form=form)
        done: Written = await remember(self._recorder, tool, {"session": self.name, **arguments})
        if done.conflict:
            what = f"`{arguments['name'][:80]}`" if "name" in arguments else "the summary"
            raise VersionConflict(
                f"{what} of session `{self.name[:80]}` has version {done.version} by now, so nothing was written: "
                "read it again, and decide anew",
                version=done.version,
            )
        return done.version

    async def _read(self, function: Any, **arguments: Any) -> Any:
        return await recall(self._recorder, function.__name__, function, {"session": self.name, **arguments})


def _seconds(ttl: timedelta | None) -> float | None:
    return None if ttl is None else ttl.total_seconds()


def _time(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
