"""What a model is asked in somebody else's loop, and what of it is compared when a run is replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.codec import arguments_bytes
from ..conversation.toolbox import structure
from ..replay.behaviour import digest_of
from ..replay.recorder import Recorder

__all__ = ["Asked", "Forms", "Offered", "estimate", "structures"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as the model sees it."""

    name: str
    description: str | None = None
    schema: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model is asked, in words of no framework: what may change under a run that waits, and what may not."""

    model: str
    messages: Any = None
    """roles, texts, tool names, arguments and results; no ids, times or usage. Soft: the recorded answer wins"""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """soft"""
    tools: Sequence[Offered] = ()
    """their names and forms are hard, the wording is soft"""
    output: Any = None
    """the form of the answer; hard"""
    instructions: Any = None
    """what the agent is told for every task; with what is above it makes the digest of its behaviour"""
    prompt_tokens: Callable[[], int] | None = None
    """about how many the whole prompt has; asked where a budget has to know before the call"""
    uncovered: Sequence[str] = ()
    """what the model may use without Perdure seeing it (hosted tools), and the owner lets through"""


def structures(asked: Asked) -> list[tuple[str, Any]]:
    """The tools' names and forms, in an order that no framework decides."""
    return sorted(((t.name, structure(t.schema)) for t in asked.tools), key=lambda named: named[0])


_MOST_OUTPUT = ("max_tokens", "max_output_tokens", "max_completion_tokens", "ls_max_tokens")


def estimate(asked: Asked) -> tuple[int, int | None]:
    """Tokens of the prompt, and at most of the answer."""
    prompt = 0 if asked.prompt_tokens is None else asked.prompt_tokens()
    given = (asked.settings.get(name) for name in _MOST_OUTPUT)
    return prompt, next((most for most in given if isinstance(most, int)), None)


class Forms:
    """What a turn asks for, as it is compared, without saying anew what the turn before has said of the same tools."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._marks: dict[bytes, tuple[bytes, str]] = {}
        self._tools: list[Offered] | None = None
        self._structures: list[tuple[str, Any]] = []
        self._wording = b""
        self._output: Any = None
        self._hard = b""
        self._rest: list[Any] | None = None
        self._behaviour = ""

    def mark(self, what: bytes, data: bytes) -> str:
        """The mark of what was said, as text."""
        known = self._marks.get(what)
        if known is None or known[0] != data:
            known = self._marks[what] = data, self._recorder.mark(what, data).hex()
        return known[1]

    def hard(self, asked: Asked) -> bytes:
        """JSON of the form of the answer, and of the tools."""
        if not self._hard or asked.output != self._output:
            self._output, self._hard = asked.output, arguments_bytes(asked.output, self._structures)
        return self._hard

    def wording(self) -> bytes:
        """JSON of the tools' names and descriptions."""
        return self._wording

    def behaviour(self, asked: Asked) -> str:
        """The digest of how the model is asked."""
        rest = [asked.model, dict(asked.settings), asked.instructions, asked.output]
        if rest != self._rest:
            wording = [(t.name, t.description) for t in asked.tools]
            model, settings, instructions, output = self._rest = rest
            self._behaviour = digest_of([model, settings, wording, instructions, output, self._structures])
        return self._behaviour

    def look(self, asked: Asked) -> None:
        """At a new turn's tools: what the others say is of the turn that was looked at last."""
        tools = list(asked.tools)
        if tools != self._tools:
            self._rest = None
            self._tools, self._structures, self._hard = tools, structures(asked), b""
            self._wording = arguments_bytes([(t.name, t.description) for t in tools])
