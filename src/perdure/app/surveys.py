"""The tools that an app's agents have, its own and those of wrapped agents, as far as is known before one runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.ids import step_name
from ..governance.policy.schema import ToolForm
from ..runtime.frameworks.declared import Declaration, guess
from ..runtime.frameworks.survey import Survey, Surveyed, survey

if TYPE_CHECKING:
    from .base import AppBase

__all__ = ["foreign_forms", "surveyed_app"]


def surveyed_app(app: AppBase) -> Survey:
    """The tools of an app's agents, and its own."""
    from ..adapters.frameworks import Frameworks

    table = app.effects
    wrapping = [(a.name, a.function, table.wrapped.get(a.name, ())) for a in app.agents.values()]
    found = survey(wrapping, Frameworks(), table)
    for tool in app.tools.values():
        declared = Declaration(effect=tool.effect, source="declared" if tool.declared else "undeclared")
        found.tools.append(Surveyed(None, tool.name, declared, guess(tool.name)))
    return found


def foreign_forms(found: Survey) -> Iterator[ToolForm]:
    """The tools of wrapped agents as policies see them, where the form of their arguments is known.

    A `delegate` is none: only what is below it is called.
    """
    for tool in found.tools:
        if tool.agent is None or tool.form is None or tool.declared.effect == "delegate":
            continue
        terms = tool.declared.terms
        yield ToolForm(
            name=step_name(tool.name),
            effect=tool.declared.effect,
            arguments=tool.form,
            labels=terms.labels,
            clearance=terms.clearance,
            zone=terms.zone,
        )
