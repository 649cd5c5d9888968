"""Tools: functions with a declared effect on the world."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, overload

from pydantic import TypeAdapter, create_model

from ...core.codec import Shape, returns, type_hints
from ...core.errors import ConfigError
from ...core.ids import check_step_name
from ..approval.approvers import check_rule
from ..approval.standin import check_default
from .handing import EffectKey, check_handed, handed_parameters
from .terms import NO_TERMS, Terms

__all__ = [
    "CANNOT_TELL",
    "DID_NOT_HAPPEN",
    "Effect",
    "EffectKey",
    "Happened",
    "Tool",
    "Verdict",
    "as_tool",
]

P = ParamSpec("P")
R = TypeVar("R")

Effect = Literal["read", "idempotent", "write"]
"""`read`: may be repeated at will. `idempotent`: may be repeated under its key. `write`: never repeated in silence."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A verdict: the effect happened, and this is what the tool would have returned."""

    result: Any = None


class _Word:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


DID_NOT_HAPPEN = _Word("DID_NOT_HAPPEN")
"""A verdict: the effect did not happen."""

CANNOT_TELL = _Word("CANNOT_TELL")
"""A verdict: it cannot be found out; a human is asked."""

Verdict = Happened | _Word
"""What a `verify` function returns: `Happened(result)`, `DID_NOT_HAPPEN` or `CANNOT_TELL`."""


@dataclass(eq=False)
class Tool(Generic[P, R]):
    """A function and what it does to the world. Called directly it is the function, unrecorded."""

    function: Callable[P, R]
    name: str
    effect: Effect = "write"
    verify: Callable[..., Any] | None = None
    compensate: Callable[..., Any] | None = None
    timeout: timedelta | None = None
    """of an async tool; a thread cannot be stopped"""
    terms: Terms = NO_TERMS
    """how its calls are handled: retries, breaker, limits, cache, fallbacks, approval"""
    cancellable: bool | None = None
    """whether a cancellation of the run cuts a call off; None: unless it is a write. A thread cannot be cut off"""
    declared: bool = True
    """whether the effect was stated; `write` is assumed where it was not"""
    exempt: bool = field(default=False, kw_only=True)
    """no policy is asked about it: it does nothing but tell the agent what it may do"""
    undoes: bool = field(default=False, kw_only=True)
    """it takes back what was done: no trust ring holds it up"""
    form: dict[str, Any] | None = field(default=None, kw_only=True)
    """JSON schema of the parameters, where somebody else knows it; None: the function says it"""
    follow: Callable[[dict[str, Any], Any], Awaitable[Any]] | None = field(default=None, kw_only=True)
    """makes the last answer of the arguments and the first one, by steps of the run: see `following`"""
    shape: Shape[Any] = field(init=False)
    signature: inspect.Signature = field(init=False)
    key_parameter: str | None = field(init=False)
    handed: Mapping[str, str] = field(init=False)
    """parameters that the runtime fills in, and no caller or model: what each is handed (`key`, `credential`)"""
    asynchronous: bool = field(init=False)
    governed: Any = field(init=False, default=None, repr=False)
    """of a read: see `effects.Governed`"""
    policy_form: Any = field(init=False, default=None, repr=False)
    """what policies see of it; made where it is first asked about"""
    operation: bytes = field(init=False)
    """what its fingerprints begin with"""
    _names: tuple[str, ...] | None = field(init=False)
    takes_any: bool = field(init=False)
    """any names will do: a tool of a framework, which has looked at them"""

    def __post_init__(self) -> None:
        check_step_name(self.name)
        if self.effect not in ("read", "idempotent", "write"):
            raise ConfigError(
                f"tool `{self.name}`: effect `{self.effect}` is not one of read, idempotent, write"
            )
        for what, function in (("verify", self.verify), ("compensate", self.compensate)):
            if function is not None and self.effect == "read":
                raise ConfigError(f"tool `{self.name}` is a read; `{what}` has nothing to do there")
        if self.terms.check is not None and self.effect == "read":
            raise ConfigError(f"tool `{self.name}` is a read; it does nothing that a `check` could look at")
        self.shape, self.asynchronous = returns(self.function)
        if self.terms.heartbeat is not None and not self.asynchronous:
            raise ConfigError(
                f"tool `{self.name}` has `heartbeat`, and runs in a thread, which cannot be cut off: make it an "
                "`async def` (what blocks goes into `run_process`, or `asyncio.to_thread`)"
            )
        self.signature = inspect.signature(self.function)
        self.handed = handed_parameters(self.function)
        self.key_parameter = next((name for name, kind in self.handed.items() if kind == "key"), None)
        check_handed(self)
        if self.cancellable is None:
            self.cancellable = self.effect != "write"
        if self.terms.cache is not None and self.effect != "read":
            raise ConfigError(f"tool `{self.name}` is no `read`: its results cannot come from a cache")
        if self.terms.needs_approval is not None:
            check_rule(self.name, self.terms.needs_approval, self.signature, self.handed)
            check_default(self.name, self.terms.needs_approval, self.shape)
            if self.terms.cache is not None:
                raise ConfigError(
                    f"tool `{self.name}` needs approval for each call, so its results cannot come from a cache; leave "
                    "one of the two out"
                )
        self.operation = f"tool {self.name}".encode()
        self._names = _plain_names(self.signature, self.handed)
        others = [p.kind for p in self.signature.parameters.values() if p.name not in self.handed]
        self.takes_any = others == [inspect.Parameter.VAR_KEYWORD]
        functools.update_wrapper(self, self.function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, without what is handed in. Raises `TypeError` as the call itself would."""
        if self._names is not None and not kwargs and len(args) == len(self._names):
            return dict(zip(self._names, args, strict=True))  # `Signature.bind` costs 5 µs
        if self.takes_any and not args:
            return {name: value for name, value in kwargs.items() if name not in self.handed}
        if self.handed:
            kwargs = {**kwargs, **dict.fromkeys(self.handed)}
        bound = self.signature.bind(*args, **kwargs)
        arguments: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = self.signature.parameters[name].kind
            if name in self.handed:
                continue
            if kind is inspect.Parameter.VAR_POSITIONAL:
                raise ConfigError(f"tool `{self.name}` takes `*{name}`; give its parameters names")
            if kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(value)
            else:
                arguments[name] = value
        return arguments

    @functools.cached_property
    def arguments(self) -> type[Any]:
        """A pydantic model of the parameters, for arguments that come from a model or a file."""
        hints = type_hints(self.function)
        fields: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            if name not in self.handed:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                fields[name] = (hints.get(name, Any), default)
        return create_model(self.name.replace("-", "_"), **fields)

    def schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, for a model."""
        if self.form is not None:
            return self.form
        return TypeAdapter(self.arguments).json_schema()


def _plain_names(signature: inspect.Signature, handed: Container[str]) -> tuple[str, ...] | None:
    """Names of the parameters where all may be given by position; None where one may not."""
    parameters = [p for p in signature.parameters.values() if p.name not in handed]
    if any(p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters)


@overload
def as_tool(function: Tool[P, R]) -> Tool[P, R]: ...
@overload
def as_tool(function: Callable[P, R]) -> Tool[P, R]: ...
def as_tool(function: Any) -> Any:
    """A tool of a bare function: its effect was not declared, so it is taken for a write."""
    if isinstance(function, Tool):
        return cast("Tool[..., Any]", function)
    return Tool(function, name=getattr(function, "__name__", "tool"), declared=False)
