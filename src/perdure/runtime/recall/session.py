"""A session in a run: its messages and values, as `run.session("case-17")` hands them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from ...core.errors import VersionConflict
from ...governance.policy.remembering import REMEMBERING
from ...memory import Kept, Message, Place, Sessions, Written
from ...memory.session_items import SESSION, write
from ..boundary.handing import EffectKey
from ..boundary.tool import Tool
from .history import History, history_of
from .steps import Steps, origin_of
from .summing import INSTRUCTIONS, check_bounds, portions, question, tokens_of_messages

__all__ = ["Session"]

Ask = Callable[..., Awaitable[Any]]


class Session:
    """A conversation or a case over days and workers, of the run's tenant and, where it has one, its data subject.

    Each method is a step. What it returns is recorded, and the same in every replay; what a write has returned is seen
    by every read after it. A write that waits for a review (`[memory] review`) is not done yet, and answers 0.
    """

    def __init__(self, steps: Steps, sessions: Sessions, name: str, *, ask: Ask) -> None:
        """`ask` is `run.model`."""
        self.name = name
        self._ask = ask
        self._steps = steps
        self._sessions = sessions
        whose = steps.whose
        self._place = Place(whose.tenant, whose.subject, name, whose.agent)
        _ = self._place.name  # refused here, and not in a step

    async def append(self, role: str, content: Any, *, ttl: timedelta | None = None) -> int:
        """Add a message; its number, from 1. After `ttl` it is not seen any more, and then deleted."""
        return await self._write("session_append", role=role, content=content, ttl=_seconds(ttl))

    async def messages(
        self, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or at most `limit` of those behind number `after`; in order, at most 1,000 at once.

        A summary comes first, as a message of role `summary`, in place of those it sums up; not with `whole`.
        """

        async def session_messages(
            session: str, last: int | None, after: int, limit: int, whole: bool
        ) -> list[Message]:
            page = await self._sessions.messages(
                self._place, last=last, after=after, limit=limit, whole=whole
            )
            if not page or page[0].role != "summary" or not await self._steps.withheld([page[0].origin]):
                return page
            # A summary that was withdrawn sums nothing up: what it stood for is read again.
            return await self._sessions.messages(self._place, last=last, after=after, limit=limit, whole=True)

        return await self._read(session_messages, last=last, after=after, limit=limit, whole=whole)

    async def compact(self, summary: str, *, upto: int) -> None:
        """Let `summary` stand for the messages up to number `upto`. They are kept: `messages(whole=True)` has them.

        Raises `VersionConflict` where a summary goes as far already.
        """
        await self._write("session_compact", summary=summary, upto=upto)

    async def history(self, *, last: int | None = None) -> History:
        """The conversation for a model: `await run.model(model, (await session.history()).asking("..."))`.

        The `last` messages, or at most 1,000, behind the summary of those before. `.dicts()` is for frameworks.
        """
        return history_of(await self.messages(last=1000 if last is None else last))

    async def compact_with(
        self,
        model: str | Sequence[str],
        *,
        keep_last: int = 20,
        when_tokens: int | None = None,
        instructions: str = INSTRUCTIONS,
        **options: Any,
    ) -> int:
        """Let a model sum up all but the `keep_last` messages; to which one a summary goes now (0: nothing was done).

        With `when_tokens` only where what would be read again has more than that, estimated. `options` are those of
        `run.model`, which asks: turn by turn, recorded and paid for. The messages are kept. Where another run has
        summed up as far meanwhile, its summary stands. Of messages with a `ttl` a summary keeps what they said.
        """
        check_bounds(keep_last, when_tokens)
        found = await self.messages(limit=1000)
        summed = bool(found) and found[0].role == "summary"
        summary = str(found[0].content) if summed else None
        rest = found[1:] if summed else found
        old = rest[: len(rest) - keep_last]
        if not old or (when_tokens is not None and tokens_of_messages(found) <= when_tokens):
            return 0
        for portion in portions(old):
            asked = question(summary, portion)
            summary = await self._ask(model, asked, system=instructions, name="sums_up", **options)
        try:
            return await self._write("session_compact", summary=summary, upto=old[-1].n)
        except VersionConflict as conflict:
            return conflict.version

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
        arguments = {"name": key, "value": value, "if_version": if_version, "ttl": _seconds(ttl)}
        return await self._write("session_set", **arguments)

    async def delete(self, key: str, *, if_version: int | None = None) -> None:
        """Take a value away. Raises `VersionConflict` as `set` does."""
        await self._write("session_delete", name=key, if_version=if_version)

    async def _write(self, tool_name: str, /, **arguments: Any) -> int:
        async def session_write(*, key: EffectKey, **given: Any) -> Written:
            origin = origin_of(self._steps.recorder, key)
            most = self._steps.memories.retention.get(SESSION)
            return await write(
                self._sessions, self._place, tool_name, given, origin=origin, key=key, most=most
            )

        form = dict(REMEMBERING[tool_name].arguments)
        tool: Tool[..., Any] = Tool(session_write, name=tool_name, effect="idempotent", form=form)
        done: Written = await self._steps.remember(
            tool, {"session": self.name, **arguments}, held=Written(version=0)
        )
        if done.conflict:
            what = f"`{arguments['name'][:80]}`" if "name" in arguments else "the summary"
            raise VersionConflict(
                f"{what} of session `{self.name[:80]}` has version {done.version} by now, so nothing was written: "
                "read it again, and decide anew",
                version=done.version,
            )
        return done.version

    async def _read(self, function: Any, **arguments: Any) -> Any:
        return await self._steps.recall(function.__name__, function, {"session": self.name, **arguments})


def _seconds(ttl: timedelta | None) -> float | None:
    return None if ttl is None else ttl.total_seconds()
