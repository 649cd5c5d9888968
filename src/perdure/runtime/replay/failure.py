"""Errors in the journal: type, message and traceback text, raised again as their own type.

What is raised live is built the same way as what a replay raises, with the original as its cause: code that looks at
an attribute which only the original has fails in development, not after the first crash.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict

from ...core.errors import PerdureError, RunCancelled, StepFailed
from ...core.failures import Diagnosis
from ..boundary.diagnosis import diagnose, remember

__all__ = ["Failure", "again", "failure_of"]

_SCALARS = (str, int, float, bool, type(None))
_LONGEST = 20_000
_CANCELLED = "asyncio.exceptions:CancelledError"


class Failure(BaseModel):
    """What the journal keeps of an error."""

    model_config = ConfigDict(frozen=True)

    type: str
    """`module:Qualname`"""
    message: str
    args: list[Any] = []
    """the arguments, where JSON can say them; else the message alone"""
    attributes: dict[str, Any] = {}
    """scalar attributes (a status code), so that handlers find them after a replay too"""
    traceback: str = ""
    diagnosis: Diagnosis | None = None
    """what kind of failure it is; None in journals of earlier releases"""

    @property
    def name(self) -> str:
        """The type's name without its module."""
        return self.type.partition(":")[2]


def failure_of(error: BaseException, diagnosis: Diagnosis | None = None) -> Failure:
    """The record of an error, with its diagnosis: the one that is given, or what is built in says."""
    kind = asyncio.CancelledError if isinstance(error, asyncio.CancelledError) else type(error)
    attributes = {k: v for k, v in vars(error).items() if not k.startswith("_") and type(v) in _SCALARS}
    return Failure(
        type=f"{_module_name(kind.__module__)}:{kind.__qualname__}",
        message=str(error)[:_LONGEST],
        args=_json_args(error),
        attributes=attributes,
        traceback=_traceback(error),
        diagnosis=diagnose(error) if diagnosis is None else diagnosis,
    )


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-30))[-_LONGEST:]
    except (
        Exception
    ) as other:  # an error that cannot be looked at, or its cause: that must not be the end of the run
        told = "".join(traceback.format_tb(error.__traceback__, limit=-30))[-_LONGEST:]
        return f"{told}(the error itself cannot be shown: {type(other).__name__}: {other})"


def _sound(error: BaseException) -> bool:
    """Whether it can be asked for what it has not: some look into a file for that, which only `__init__` gives them."""
    try:
        getattr(error, "__notes__", None)
    except Exception:
        return False
    return True


def _module_name(name: str) -> str:
    """The name under which other processes import a module: a script's own errors are not `__main__`'s for them."""
    main = sys.modules.get("__main__")
    if name != "__main__" or main is None:
        return name
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return spec.name.removesuffix(".__main__")
    return name if file is None else Path(file).stem


def again(failure: Failure) -> BaseException:
    """The error as its own type; `StepFailed` where that type is not loaded or cannot be made again.

    Only types that are already imported are used: a journal names types, it never imports modules. Its recorded
    diagnosis goes with it.
    """
    error = _again(failure)
    if failure.diagnosis is not None:
        remember(error, failure.diagnosis)
    return error


def _again(failure: Failure) -> BaseException:
    if failure.type == _CANCELLED:
        return asyncio.CancelledError(*failure.args)
    module, _, qualname = failure.type.partition(":")
    found: Any = sys.modules.get(module) or (
        sys.modules["__main__"] if _module_name("__main__") == module else None
    )
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        return _stand_in(failure)
    if not issubclass(found, Exception | RunCancelled):
        return _stand_in(failure)
    try:
        error = found.__new__(found, *failure.args)
        error.args = tuple(failure.args)
        for name, value in failure.attributes.items():
            setattr(error, name, value)
        same = str(error) == failure.message and _sound(error)
    except Exception:
        return _stand_in(failure)
    if not same:
        if issubclass(found, PerdureError):
            error.args = (failure.message,)
        else:
            return _subtype(found, failure)
    return error


def _stand_in(failure: Failure) -> StepFailed:
    return StepFailed(f"{failure.name}: {failure.message}", type_name=failure.type)


class _Recorded(Exception):
    def __str__(self) -> str:
        return str(self.args[0])

    def missing(self, name: str) -> Any:
        raise AttributeError(f"`{name}` was not recorded of this {type(self).__name__}", name=name, obj=self)


def _subtype(kind: type[BaseException], failure: Failure) -> BaseException:
    """An error whose own text cannot be made again: still caught by `except kind`, and with the recorded text."""
    try:
        made: Any = type(
            kind.__name__, (kind,), {"__str__": _Recorded.__str__, "__module__": kind.__module__}
        )
        error = made.__new__(made)
        if not _sound(error):
            made.__getattr__ = _Recorded.missing
        error.args = (failure.message,)
        for name, value in failure.attributes.items():
            setattr(error, name, value)
    except Exception:
        return _stand_in(failure)
    return error


def _json_args(error: BaseException) -> list[Any]:
    args = list(error.args)
    try:
        if pydantic_core.from_json(pydantic_core.to_json(args)) == args:
            return args
    except Exception:
        pass
    return [str(error)[:_LONGEST]]
