"""What is answered to which request."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from ...adapters.script_file import ScriptFile
from ...core.errors import ConfigError
from ...runtime.conversation.toolbox import in_words
from .faults import Fault, FaultKind, breaks
from .reply import Recorded, Reply
from .request import Request

__all__ = ["Answer", "FaultRule", "Match", "Playable", "Rule", "Rules", "Script", "Source", "Turns", "source"]

Answer = Reply | Fault | Sequence[Reply | Fault]
"""What is answered: a reply, a fault, or several for one turn of a conversation: the first for its first attempt, the
second when the client tries again, and the last from then on."""

_One = Callable[[Request], Answer | Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Match:
    """Conditions on a request; all that are given must hold."""

    when: str | None = None
    """a text in the last message that is not the model's, whatever its case"""
    match: str | None = None
    """a regular expression that finds something in it"""
    system: str | None = None
    """a text in what the system says"""
    tool: str | None = None
    """the name of a tool that is on offer"""
    model: str | None = None
    """a text in the name of the model"""
    turn: int | None = None
    """1 is the first of a conversation"""
    results: int | None = None
    """how many results of tools the conversation has"""
    test: Callable[[Request], bool] | None = None
    """whatever else there is to ask"""

    def holds(self, request: Request) -> bool:
        """Whether all conditions hold."""
        return (
            (self.when is None or self.when.casefold() in request.last.casefold())
            and (self.match is None or re.search(self.match, request.last, re.MULTILINE) is not None)
            and (self.system is None or self.system.casefold() in request.system.casefold())
            and (self.tool is None or self.tool in request.tool_names)
            and (self.model is None or self.model.casefold() in request.model.casefold())
            and (self.turn is None or self.turn == request.turn)
            and (self.results is None or self.results == request.results)
            and (self.test is None or self.test(request))
        )


@dataclass(frozen=True)
class Rule(Match):
    """An answer for the requests that match."""

    answer: Answer


@dataclass(frozen=True)
class FaultRule(Match):
    """A fault that strikes requests that match, whatever the script answers: some of them, as counted."""

    fault: Fault | FaultKind
    first: int | None = None
    """only the first so many"""
    skip: int = 0
    """the first so many go well"""
    every: int = 1
    """each so manieth only, beginning with the first"""
    per: Literal["server", "conversation", "turn"] = "server"
    """what is counted: all requests; those of each conversation; the attempts at each turn of one"""

    def strikes(self, n: int) -> bool:
        """Whether the n-th request, from 1, is struck."""
        n -= self.skip
        return n >= 1 and (self.first is None or n <= self.first) and (n - 1) % self.every == 0


class Turns(tuple[Answer, ...]):
    """Answers of each conversation: the first for its first turn, and so on. Made by `Turns([...])`."""

    __slots__ = ()


class Rules(tuple[Rule, ...]):
    """The first rule that matches answers. Made by `Rules([...])`."""

    __slots__ = ()


class Played(Protocol):
    """A recording at work."""

    def __call__(self, request: Request, /) -> Answer | Awaitable[Answer]:
        """The answer to a request to a model."""
        ...

    def other(self, method: str, target: str, body: Any, /) -> Recorded | None:
        """The answer to one that is none to a model."""
        ...


@runtime_checkable
class Playable(Protocol):
    """A recording, as `perdure.testing.Cassette`."""

    def player(self) -> Played:
        """Answers from the beginning."""
        ...


Script = Sequence[Reply | Fault] | Turns | Rules | Playable | str | Path | _One
"""All that a server can answer from: answers in the order in which requests come, whoever asks; `Turns`, `Rules`; the
path of a file (as of `scripted:PATH`, or a cassette); a recording; a function of the request, which
is called in the server's thread."""


class Source:
    """A script at work: it counts."""

    def __init__(self, script: Script, faults: Sequence[FaultRule]) -> None:
        if isinstance(script, Sequence) and not isinstance(script, str | Turns | Rules):
            for one in cast("Sequence[object]", script):
                if not isinstance(one, Reply | Fault):
                    raise TypeError(f"`{one!r}` is no `Reply` or `Fault`; rules go into `Rules([...])`")
        if isinstance(script, str | Path):
            script = _recording(Path(script).expanduser()) or script
        self._player: Played | None = None
        if isinstance(script, Playable):
            script = self._player = script.player()
        self._script: Script = script
        self._file: ScriptFile | None = None
        if isinstance(script, str | Path):
            path = Path(script).expanduser()
            self._file = ScriptFile(path, name=str(path))
            faults = (*faults, *(_fault_rule(path, one) for one in self._file.load().faults))
        self._faults = tuple(faults)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[object, ...]] = Counter()

    def fault(self, request: Request) -> Fault | None:
        """The fault that strikes this request: of the first rule that says so."""
        struck: Fault | None = None
        for i, rule in enumerate(self._faults):
            if not rule.holds(request):
                continue
            n = self._count("fault", i, *_counted(rule.per, request))
            if struck is None and rule.strikes(n):
                struck = rule.fault if isinstance(rule.fault, Fault) else Fault(rule.fault)
        return struck

    async def answer(self, request: Request) -> Reply | Fault:
        """What the script says."""
        script = self._script
        if self._file is not None:
            return _from_file(self._file, request)
        if isinstance(script, Turns):
            if request.turn > len(script):
                words = f"turn {request.turn} was not expected: the script has {len(script)}"
                return breaks(400, words)
            return self._attempt(script[request.turn - 1], request)
        if isinstance(script, Rules):
            for rule in script:
                if rule.holds(request):
                    return self._attempt(rule.answer, request)
            return breaks(
                400, f"no rule fits turn {request.turn}, whose last message is `{request.last[:200]}`"
            )
        if callable(script):
            answer = script(request)
            return self._attempt(await answer if isinstance(answer, Awaitable) else answer, request)
        assert not isinstance(script, str | Path | Playable)
        n = self._count("order")
        if n > len(script):
            return breaks(400, f"request {n} was not expected: {len(script)} answers were given")
        return script[n - 1]

    def other(self, method: str, target: str, body: Any) -> Recorded | None:
        """The answer to a request that is none to a model, where a recording has one."""
        return None if self._player is None else self._player.other(method, target, body)

    def _attempt(self, answer: Answer, request: Request) -> Reply | Fault:
        if isinstance(answer, Reply | Fault):
            return answer
        n = self._count("attempt", *_counted("turn", request))
        return answer[min(n, len(answer)) - 1]

    def _count(self, *what: object) -> int:
        with self._lock:
            self._counts[what] += 1
            return self._counts[what]


def _recording(path: Path) -> Playable | None:
    """The file, if it is a cassette: as a script it would be refused."""
    from ..cassette import Cassette, is_cassette

    return Cassette(path) if path.suffix != ".toml" and is_cassette(path) else None


def _counted(per: str, request: Request) -> tuple[object, ...]:
    match per:
        case "turn":
            return request.conversation, request.turn
        case "conversation":
            return (request.conversation,)
        case _:
            return ()


def _from_file(file: ScriptFile, request: Request) -> Reply | Fault:
    try:
        answer = file.answer(request.as_model_request(), asked=request.model)
    except ConfigError as error:
        return breaks(400, str(error))
    said, usual = answer.reply, Reply()
    return Reply(
        text=said.text,
        calls=tuple(
            (
                c.name,
                c.arguments if isinstance(c.arguments, str) else json.dumps(c.arguments, ensure_ascii=False),
            )
            for c in said.tool_calls
        ),
        structured=answer.structured,
        reasoning=said.reasoning or "",
        finish=None if said.finish_reason in ("stop", "tool_call") else _finish(said.finish_reason),
        tokens=(
            usual.tokens[0] if said.usage.input_tokens is None else said.usage.input_tokens,
            usual.tokens[1] if said.usage.output_tokens is None else said.usage.output_tokens,
        ),
        cached=said.usage.cached_tokens or 0,
        delay=answer.delay,
        pace=answer.pace,
    )


def _finish(reason: str | None) -> Literal["length", "content_filter"] | None:
    return reason if reason == "length" or reason == "content_filter" else None


class _FaultInFile(BaseModel):
    """One of `faults` in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: FaultKind
    retry_after: float | None = None
    message: str | None = None
    status: int | None = None
    after: int | None = None
    delay: float = 0
    first: int | None = None
    skip: int = 0
    every: int = 1
    per: Literal["server", "conversation", "turn"] = "server"
    when: str | None = None
    match: str | None = None
    system: str | None = None
    tool: str | None = None
    model: str | None = None
    turn: int | None = None
    results: int | None = None


_OF_A_FAULT = ("retry_after", "message", "status", "after", "delay")


def _fault_rule(path: Path, told: Mapping[str, Any]) -> FaultRule:
    try:
        read = _FaultInFile.model_validate(told)
        fault = Fault(read.fault, **{name: getattr(read, name) for name in _OF_A_FAULT})
    except ValidationError as error:
        raise ConfigError(f"`faults` of script `{path}` cannot be used: {in_words(error)}") from error
    except ValueError as error:
        raise ConfigError(f"`faults` of script `{path}` cannot be used: {error}") from error
    return FaultRule(fault, **read.model_dump(exclude={"fault", *_OF_A_FAULT}))


def source(script: Script, faults: Sequence[FaultRule]) -> Source:
    """The script at work. Raises `ConfigError` where a file cannot be used."""
    return Source(script, faults)
