"""What follows a call of an MCP tool that is not over with its first answer: rounds of steps, until it is.

    tools/call ─► asks back ─► `ask` (a person), `sampling` (a model) ─► tools/call with the answers ─► …
         └──────► a task ─► `sleep` ─► `task` ─► … ─► its result

Each round stands in the journal: the question, its answer, the id of the task. So nobody is asked twice, and a run that
waits for days holds neither a worker nor a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..context import McpResult, Open
from ..context.questions import (
    accepted,
    address_of,
    declined,
    form_of,
    in_words,
    kind_of,
    params_of,
    roots,
    said_to_model,
    sampled,
)
from ..core.errors import ApprovalDenied, RunCancelled, WaitTimeout
from ..core.mcp_settings import McpSettings
from ..runtime import Run, Tool

__all__ = ["Rounds"]

_MOST = 20
"""Times that one call may ask back."""
_SHORTEST, _LONGEST = 0.2, 60.0
"""Seconds between two looks at a task; they grow."""

Again = Callable[[Open, Mapping[str, Any] | None], Tool[..., Any]]
"""A tool for the next round, given what is open and the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The rounds of one tool's calls, in one run."""

    run: Run
    source: str
    tool: str
    settings: McpSettings
    call: Again
    look: Again
    cancel: Again
    lost: Again

    async def follow(self, arguments: dict[str, Any], first: McpResult) -> McpResult:
        """The last answer."""
        try:
            return await self._followed(arguments, first)
        except RunCancelled:
            if first.open is not None and first.open.task is not None:
                with self.run.shield():
                    await self._give_up(first.open)
            raise

    async def _followed(self, arguments: dict[str, Any], first: McpResult) -> McpResult:
        found, asked, waited, pause = first, 0, 0.0, 0.0
        while (open_ := found.open) is not None:
            if open_.asks:
                asked += 1
                if asked > _MOST:
                    return McpResult(text=f"the server asked back more than {_MOST} times", failed=True)
                answers = {name: await self._answer(ask) for name, ask in open_.asks.items()}
                refused = [name for name, answer in answers.items() if answer is None]
                if refused:
                    return McpResult(text=self._no(open_.asks[refused[0]]), failed=True)
                found = await self._next(open_, answers, arguments)
            elif open_.task is None:  # it wants to be called again, later
                asked += 1
                if asked > _MOST:
                    return McpResult(
                        text=f"the server asked for more than {_MOST} further calls", failed=True
                    )
                await self.run.sleep(min(_LONGEST, 0.5 * 2.0 ** min(asked, 10)))
                found = await self._next(open_, None, arguments)
            else:
                pause = min(_LONGEST, max(open_.poll or 0.0, pause * 1.5, _SHORTEST))
                if waited > self.settings.task_within.total_seconds():
                    await self._give_up(open_)
                    return await self.run.call(self.lost(open_, None), **arguments)
                waited += pause
                await self.run.sleep(pause)
                found = await self._look(open_, None, arguments)
        return found

    async def _next(
        self, open_: Open, answers: Mapping[str, Any] | None, arguments: dict[str, Any]
    ) -> McpResult:
        if open_.task is None:
            return await self.run.call(self.call(open_, answers), **arguments)
        return await self._look(open_, answers, arguments)

    async def _look(
        self, open_: Open, answers: Mapping[str, Any] | None, arguments: dict[str, Any]
    ) -> McpResult:
        found: McpResult | None = await self.run.call(self.look(open_, answers))
        if (
            found is None
        ):  # nobody knows what came of it: the call is in doubt, as one that was never answered
            return await self.run.call(self.lost(open_, None), **arguments)
        return found

    async def _give_up(self, open_: Open) -> None:
        await self.run.call(self.cancel(open_, None))

    async def _answer(self, ask: Mapping[str, Any]) -> dict[str, Any] | None:
        match kind_of(ask):
            case "form":
                return await self._of_person(ask)
            case "url":
                return await self._at_address(ask)
            case "model" if self.settings.sampling is not None:
                return await self._of_model(ask, self.settings.sampling)
            case "roots" if self.settings.roots:
                return roots(self.settings.roots)
            case _:
                return None

    async def _of_person(self, ask: Mapping[str, Any]) -> dict[str, Any] | None:
        form = form_of(ask)
        if form is None:
            return None
        try:
            value = await self.run.ask(
                f"`{self.tool}` of MCP server `{self.source}` asks: {in_words(ask)}",
                answer=form,
                show={"server": self.source, "tool": self.tool, "asks": in_words(ask)},
                timeout=self.settings.answer_within,
            )
        except ApprovalDenied:
            return declined()
        except WaitTimeout:
            return declined(nobody=True)
        return accepted(value)

    async def _at_address(self, ask: Mapping[str, Any]) -> dict[str, Any] | None:
        address = address_of(ask)
        if address is None:
            return None
        answer = await self.run.ask(
            f"`{self.tool}` of MCP server `{self.source}` wants you to open an address, and to approve when you are "
            f"done there: {in_words(ask)}",
            show={"server": self.source, "tool": self.tool, "open": address},
            timeout=self.settings.answer_within,
        )
        return accepted() if answer else declined(nobody=answer.expired)

    async def _of_model(self, ask: Mapping[str, Any], model: str) -> dict[str, Any]:
        params, said = params_of(ask), said_to_model(ask)
        prompt = said[0][1] if len(said) == 1 else "\n\n".join(f"{who}: {what}" for who, what in said)
        most = params.get("maxTokens")
        answer: str = await self.run.model(
            model,
            prompt,
            system=params.get("systemPrompt"),
            name="sampling",
            settings={"max_tokens": most} if isinstance(most, int) and most > 0 else None,
            timeout=timedelta(minutes=5),
        )
        return sampled(answer, model)

    def _no(self, ask: Mapping[str, Any]) -> str:
        match kind_of(ask):
            case "form":
                return "the server asks a person in a form that cannot be shown; it was told nothing"
            case "url":
                return "the server names an address that is not shown to anybody; it was told nothing"
            case "model":
                return (
                    f"the server wants to have a model asked, which [mcp.{self.source}] does not allow: "
                    '`sampling = "provider:model"` does'
                )
            case "roots":
                return (
                    f"the server wants to know which folders it may use; [mcp.{self.source}] names no `roots`"
                )
            case _:
                return "the server asks for something that is not known here"
