"""What the tools of somebody else's framework do to the world: declared in a table, on the function, or not at all.

A tool that nobody declared counts as a `write`: it is not repeated in silence, and after a crash somebody is asked.
What it looks like (its name, its HTTP method, the framework's annotations) is said to the owner, and never acted upon.
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from ...core.codec import Shape
from ...core.credentials import Credential
from ...core.errors import ConfigError
from ..boundary.terms import NO_TERMS, Terms, terms_of
from ..boundary.tool import Effect, EffectKey, Tool
from .at_hand import at_hand, handed_for
from .proposal import propose

__all__ = ["Declaration", "Foreign", "Guess", "ToolTable", "declare", "guess"]

log = logging.getLogger("perdure.run")

F = TypeVar("F", bound=Callable[..., Any])

ForeignEffect = Literal["read", "idempotent", "write", "delegate"]
"""`delegate`: the tool only calls other agents, whose turns and tools are steps of their own; it is no step itself."""

Watch = Callable[[Tool[..., Any]], Callable[..., Any]]
"""Given the tool of one call, a function in place of the tool's own."""

_EFFECTS = ("read", "idempotent", "write", "delegate")
_SAYS = {"effect", "why", "confirmed"}
_MARK = "__perdure__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one tool does, and how its calls are handled."""

    effect: ForeignEffect
    verify: Callable[..., Any] | None = None
    compensate: Callable[..., Any] | None = None
    timeout: timedelta | None = None
    terms: Terms = NO_TERMS
    source: str = "declared"
    """where it stands: `declared` (on the function), `table`, or `undeclared`"""
    watch: Watch | None = field(default=None, repr=False, compare=False)
    """sees the calls as they are carried out: for tests"""

    def __post_init__(self) -> None:
        if self.effect == "delegate" and self.terms.requires:
            raise ConfigError(
                "`requires` says what the user must have for a call, and a `delegate` makes none itself: "
                "let the tools below it require that"
            )


def declare(
    effect: ForeignEffect,
    *,
    verify: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
    timeout: timedelta | None = None,
    **terms: Any,
) -> Callable[[F], F]:
    """Say on a function what it does, for every framework that calls it; the function stays what it is.

    `verify`, `compensate` and the other terms (`retry`, `rate`, `needs_approval`, ...) are those of `app.tool`.
    """
    made = Declaration(
        effect=_checked(effect, "a declared tool"),
        verify=verify,
        compensate=compensate,
        timeout=timeout,
        terms=terms_of(**terms),
    )

    def mark(function: F) -> F:
        setattr(function, _MARK, made)
        return function

    return mark


def _checked(effect: Any, what: str) -> ForeignEffect:
    if effect not in _EFFECTS:
        raise ConfigError(f"{what}: effect `{effect}` is not one of {', '.join(_EFFECTS)}")
    return effect


# what a tool looks like ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guess:
    """What a tool looks like, and why. For its owner to confirm."""

    effect: ForeignEffect
    why: str


_READS = "get|list|search|find|read|fetch|look|lookup|query|show|describe|check|count|view|browse|is|has|load|select"
_IDEMPOTENT = "put|set|upsert|replace|ensure|mark|tag|assign"
_WRITES = (
    "send|create|post|add|insert|pay|charge|refund|book|order|buy|transfer|delete|remove|cancel|update|write|submit"
    "|execute|run|publish|invite|approve|reject|reset|email|notify"
)
_BY_NAME: tuple[tuple[re.Pattern[str], ForeignEffect], ...] = (
    (re.compile(rf"(?:{_WRITES})(?:[_\-A-Z]|$)"), "write"),
    (re.compile(rf"(?:{_READS})(?:[_\-A-Z]|$)"), "read"),
    (re.compile(rf"(?:{_IDEMPOTENT})(?:[_\-A-Z]|$)"), "idempotent"),
)


def guess(name: str, *, hints: Mapping[str, Any] | None = None) -> Guess:
    """What a tool looks like: by annotations as MCP has them (`readOnlyHint`, ...), its HTTP method, or its name."""
    hints = hints or {}
    if hints.get("readOnlyHint"):
        return Guess("read", "its annotations say `readOnlyHint`")
    if hints.get("idempotentHint"):
        return Guess("idempotent", "its annotations say `idempotentHint`")
    method = str(hints.get("method", "")).upper()
    if method in ("GET", "HEAD", "OPTIONS"):
        return Guess("read", f"it is an HTTP {method}")
    if method in ("PUT", "DELETE"):
        return Guess("idempotent", f"it is an HTTP {method}")
    for pattern, effect in _BY_NAME:
        found = pattern.match(name)
        if found:
            return Guess(effect, f"its name begins with `{found[0].rstrip('_-')}`")
    return Guess("write", "nothing says otherwise")


# the table -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ToolTable:
    """The declarations of an app for tools that are not its own, by name."""

    entries: dict[str, Declaration] = field(default_factory=dict[str, Declaration])
    allowed: set[str] = field(default_factory=set[str])
    """names of what no adapter can cover (hosted tools) and the owner lets through all the same"""
    watch: Watch | None = None
    """sees every call that is carried out: for tests"""
    wrapped: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    """other frameworks' agents that an agent's code does not name, by the agent's name: see `wraps`"""
    _unconfirmed: set[str] = field(default_factory=set[str])
    """tools of which a file says what they look like, and their owner has not said that it is so"""
    _proposals: Path | None = None
    """where tools that nobody declared are written down when an agent first has them"""
    _told: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _met: dict[tuple[str, str], ForeignEffect] = field(default_factory=dict[tuple[str, str], ForeignEffect])
    """what tools that agents have do, as far as they were met"""

    def declare(self, effect: ForeignEffect, *names: str, **terms: Any) -> None:
        """Say of tools by their names what they do. The terms are those of `app.tool`."""
        kept = {k: terms.pop(k) for k in ("verify", "compensate", "timeout") if k in terms}
        for name in names:
            self.entries[name] = Declaration(
                effect=_checked(effect, f"tool `{name}`"), terms=terms_of(**terms), source="table", **kept
            )

    def allow(self, *names: str) -> None:
        """Let tools run that Perdure does not see: each run says which were offered."""
        self.allowed.update(names)

    def wraps(self, agent: str, *wrapped: Any) -> None:
        """Say which agents of other frameworks an agent wraps that its own code makes, and so does not name.

        `perdure agents tools` looks into them as well.
        """
        self.wrapped.setdefault(agent, []).extend(wrapped)

    def load(self, path: str | Path, *, propose: bool = False) -> None:
        """Read a file: `[tools.NAME]` with `effect`, and `[uncovered] allow = [...]`. Raises `ConfigError`.

        An entry with `confirmed = false` is a note, not a declaration. With `propose` the file need not be there yet,
        and tools that nobody declared are noted in it when a run first meets them.
        """
        file = Path(path)
        if propose:
            self._proposals = file
            if not file.exists():
                return
        try:
            told = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"`{file}` cannot be read: {error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"`{file}` is not readable TOML: {error}") from error
        tools: Any = told.get("tools", {})
        if not isinstance(tools, dict):
            raise ConfigError(f"`{file}`: `tools` is `{tools}`; write `[tools.NAME]` with `effect = ...`")
        for name, entry in cast("dict[str, Any]", tools).items():
            if not isinstance(entry, dict) or not set(cast("dict[str, Any]", entry)) <= _SAYS:
                raise ConfigError(
                    f"`{file}`: tool `{name}` says `{entry}`; it may say `effect` and `why`, and `confirmed`"
                )
            said = cast("dict[str, Any]", entry)
            effect = _checked(said.get("effect"), f"`{file}`: tool `{name}`")
            confirmed: Any = said.get("confirmed", True)
            if not isinstance(confirmed, bool):
                raise ConfigError(
                    f"`{file}`: tool `{name}`: confirmed `{confirmed}` is neither true nor false"
                )
            if confirmed:
                self.entries.setdefault(name, Declaration(effect=effect, source="table"))
            else:
                self._unconfirmed.add(name)
        self.allow(*told.get("uncovered", {}).get("allow", []))

    def find(self, name: str, function: Any = None) -> Declaration:
        """The declaration of a tool: by the table, then on its function; a `write` that nobody declared else."""
        found = self.entries.get(name)
        if found is None and function is not None:
            marked: Any = getattr(function, _MARK, None)
            if isinstance(marked, Declaration):
                found = marked
            elif isinstance(function, Tool):
                tool = cast("Tool[..., Any]", function)
                found = Declaration(
                    effect=tool.effect,
                    verify=tool.verify,
                    compensate=tool.compensate,
                    timeout=tool.timeout,
                    terms=tool.terms,
                )
        found = found or Declaration(effect="write", source="undeclared")
        return found if self.watch is None else replace(found, watch=self.watch)

    def effect_of(self, agent: str, name: str) -> ForeignEffect:
        """What a tool does that an agent was told to have; of any other, what the table says of its name."""
        found = self._met.get((agent, name))
        return self.find(name).effect if found is None else found

    def tell(self, agent: str, tools: Iterable[tuple[str, Declaration, Guess]]) -> None:
        """Say once which tools an agent has, and what they count as."""
        tools = list(tools)
        self._met.update(((agent, name), declared.effect) for name, declared, _ in tools)
        listed = [t for t in tools if (agent, t[0]) not in self._told]
        if not listed:
            return
        self._told.update((agent, name) for name, _, _ in listed)
        for name, declared, looks in listed:
            if declared.source == "undeclared":
                log.warning(
                    "agent %s: tool `%s` is not declared and counts as `write`; it looks like `%s`, because %s. Say "
                    'what it is: `app.effects.declare("%s", "%s")`, or %s',
                    agent, name, looks.effect, looks.why, looks.effect, name,
                    "take `confirmed = false` away in the file of tools" if name in self._unconfirmed
                    else "in the file that `perdure agents tools --write tools.toml` begins",
                )  # fmt: skip
            else:
                log.info("agent %s: tool `%s` is `%s` (%s)", agent, name, declared.effect, declared.source)
        self._propose(agent, [(n, looks) for n, declared, looks in listed if declared.source == "undeclared"])

    def unconfirmed(self, name: str) -> bool:
        """Whether a file says what the tool looks like, and its owner has not said yet that it is so."""
        return name in self._unconfirmed and name not in self.entries

    def _propose(self, agent: str, tools: list[tuple[str, Guess]]) -> None:
        if self._proposals is None or not tools:
            return
        try:
            names = propose(self._proposals, tools)
        except ConfigError as error:  # the run does not depend on it
            log.warning("agent %s: its tools were not written down: %s", agent, error)
            return
        if names:
            log.warning(
                "agent %s: what its tools look like was written into `%s`, for you to confirm: %s",
                agent, self._proposals, ", ".join(f"`{n}`" for n in names),
            )  # fmt: skip


class Foreign:
    """A framework's tool, made callable as a step. One for a name; each call gets its own way to be carried out."""

    def __init__(self, name: str, declared: Declaration) -> None:
        self.declared = declared
        self.delegates = declared.effect == "delegate"
        effect: Effect = "write" if declared.effect == "delegate" else declared.effect
        self._tool: Tool[..., Any] = Tool(
            _unbound,
            name=name,
            effect=effect,
            verify=declared.verify,
            compensate=declared.compensate,
            timeout=declared.timeout,
            terms=declared.terms,
            declared=declared.source != "undeclared",
        )
        self._tool.handed = {**self._tool.handed, **handed_for(declared.terms)}

    def calling(
        self,
        execute: Callable[..., Any],
        *,
        shape: Shape[Any] | None = None,
        terms: Terms | None = None,
        form: dict[str, Any] | None = None,
    ) -> Tool[..., Any]:
        """The tool for one call: `execute(**arguments)` carries it out in the framework.

        `shape`: of what it returns, where plain JSON is too narrow. `terms`: in place of those that were declared.
        `form`: the JSON schema of its parameters, which binds an approval, and which edited arguments must fit.
        """

        async def carried_out(
            *,
            perdure_effect_key: EffectKey,
            perdure_credential: Credential | None = None,
            perdure_http: Any = None,
            **arguments: Any,
        ) -> Any:
            with at_hand(perdure_effect_key, perdure_credential, perdure_http):
                return await execute(**arguments)

        made = cast("Tool[..., Any]", object.__new__(Tool))
        made.__dict__.update(self._tool.__dict__)  # a third of the price of `copy`
        made.function = carried_out
        if shape is not None:
            made.shape = shape
        if terms is not None:
            made.terms = terms
        made.form = form
        if self.declared.watch is not None:
            made.function = self.declared.watch(made)
        return made


async def _unbound(*, perdure_effect_key: EffectKey, **arguments: Any) -> Any:
    raise AssertionError("this tool belongs to a call of a framework")
