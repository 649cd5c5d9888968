"""An agent that has a parameter for what the runs before it have left: `async def agent(run, input, before: Handover)`.

It is asked for once, before the function begins, and recorded as `run.handover()` is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from ...core.codec import type_hints
from ...core.errors import ConfigError
from .records import Handover

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["Asks", "handed_over"]


@dataclass(frozen=True, slots=True)
class Asks:
    """The parameter that is handed a `Handover`."""

    parameter: str
    optional: bool
    """it may be None: in a run of no series"""

    async def given(self, run: Run) -> dict[str, Handover | None]:
        """What it is handed. Raises `ConfigError` in a run of no series, where it may not be None."""
        if run.series is None and self.optional:
            return {self.parameter: None}
        return {self.parameter: await run.handover()}


def handed_over(function: Callable[..., Any]) -> Asks | None:
    """The parameter annotated `Handover`, or `Handover | None`; None: there is none. Raises `ConfigError` for two."""
    hints = type_hints(function)
    found: list[Asks] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name)
        if hint is not Handover and Handover not in get_args(hint):
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"`{name}` is handed a `Handover` by its name: make it a plain parameter")
        found.append(Asks(name, hint is not Handover))
    if len(found) > 1:
        raise ConfigError(
            f"`{found[0].parameter}` and `{found[1].parameter}` are both for the same `Handover`: leave one out"
        )
    return found[0] if found else None
