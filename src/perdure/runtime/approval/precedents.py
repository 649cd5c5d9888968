"""What an approver is told beside the question: why, what was done so far, at what cost, how it went before.

It is read once, when the question is opened, from the last entries of the run's journal and from one cell of the tool,
and stands in the journal with the question. It is bounded, and no part of what the answer is bound to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ...core.errors import StoreError
from ...governance import Amount, dollars
from ...journal import Amendment, Cell, CellKey, Entry, Kind
from ..replay.history import scope_of

if TYPE_CHECKING:
    from ..boundary.call import Call

__all__ = ["about", "precedent", "precedent_ended"]

_KIND = "precedent"
_LOOKED_AT = 400
"""Entries of the journal: the latest."""
_EFFECTS = 10
_KEPT = 5
_LONGEST = 200


async def about(call: Call, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is told beside the question."""
    recorder = call.recorder
    after = max(recorder.started.seq - 1, recorder.head - _LOOKED_AT)
    try:
        entries = await recorder.store.read(recorder.ref, after=after)
        name = _key(call, tool).name
        found = await recorder.store.cells(_KIND, tenant=recorder.ref.tenant, prefix=name, limit=1)
    except StoreError:
        return {}  # the question is asked all the same; whether the journal can be written shows there
    last: list[dict[str, Any]] = []
    if found and found[0][0].name == name:
        last = pydantic_core.from_json(found[0][1].data)["last"]
    told: dict[str, Any] = {
        "why": _reason(entries, call.key, tool),
        "done": _done(entries, call.key),
        "cost": _cost(entries),
        "earlier": last,
    }
    stated = None if recorder.heard is None else recorder.heard.stated(call.key)
    if stated is not None:
        told["stated"] = stated.told()
    if last:
        told["changed"] = _changed(last[-1]["arguments"], brief(arguments))
    return told


def _reason(entries: list[Entry], key: str, tool: str) -> dict[str, Any] | None:
    """The latest decision of that conversation, or of what it stands in."""
    for entry in reversed(entries):
        if entry.kind == Kind.DECISION and key.startswith(scope_of(entry.key)):
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            chosen = told.get("choice")
            if isinstance(chosen, list) and tool not in chosen:
                continue
            return {k: told.get(k) for k in ("reason", "confidence", "unknowns", "by") if k in told}
    return None


def _done(entries: list[Entry], key: str) -> list[dict[str, Any]]:
    """The effects of the run before this one, the latest last."""
    effects: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.kind == Kind.INTENT and entry.key != key:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            arguments: dict[str, Any] = told.get("arguments") or {}
            effects[entry.key] = {
                "step": entry.key,
                "tool": told.get("tool"),
                "arguments": brief(arguments),
                "outcome": "under way",
            }
        elif entry.key in effects and entry.kind in (Kind.RESULT, Kind.FAILED, Kind.UNKNOWN):
            names = {Kind.RESULT: "done", Kind.FAILED: "failed", Kind.UNKNOWN: "in doubt"}
            effects[entry.key]["outcome"] = names[Kind(entry.kind)]
    return list(effects.values())[-_EFFECTS:]


def _cost(entries: list[Entry]) -> str | None:
    """Money charged in what was looked at; None: nothing was."""
    charged = [pydantic_core.from_json(e.payload) for e in entries if e.kind == Kind.CHARGED]
    if not charged:
        return None
    return dollars(sum(Amount.from_json(told.get("amount")).money for told in charged))


def brief(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in a few hundred bytes."""
    return {name: _brief(value) for name, value in list(arguments.items())[:20]}


def _brief(value: Any) -> Any:
    if isinstance(value, int | float | bool | None):
        return value
    text = value if isinstance(value, str) else pydantic_core.to_json(value, fallback=repr).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return {name: {"was": before.get(name), "now": now.get(name)} for name in names}


def _key(call: Call, tool: str) -> CellKey:
    """What is kept of a person's runs is shown with that person's alone, and goes with their key."""
    recorder = call.recorder
    name = tool if recorder.subject is None else f"{tool}/{recorder.mark(b'precedent', tool.encode()).hex()}"
    return CellKey(recorder.ref.tenant, _KIND, name)


def precedent(call: Call, tool: str, decision: dict[str, Any]) -> Amendment:
    """Keep how somebody decided on a call, for whoever decides on the next one."""
    key = _key(call, tool)
    made = {"run": call.recorder.ref.id, "step": call.key, "outcome": None, **decision}

    def change(cells: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        last = [one for one in _last(cells, key) if not _same(one, made)]
        return {key: Cell(pydantic_core.to_json({"last": [*last, made][-_KEPT:]}))}, None

    return Amendment((key,), change)


def precedent_ended(call: Call, tool: str, outcome: str) -> Amendment:
    """Add what came of it."""
    key = _key(call, tool)
    this = {"run": call.recorder.ref.id, "step": call.key}

    def change(cells: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        last = [{**one, "outcome": outcome} if _same(one, this) else one for one in _last(cells, key)]
        return ({key: Cell(pydantic_core.to_json({"last": last}))} if last else {}), None

    return Amendment((key,), change)


def _last(cells: Mapping[CellKey, Cell], key: CellKey) -> list[dict[str, Any]]:
    cell = cells.get(key)
    return [] if cell is None else cast("list[dict[str, Any]]", pydantic_core.from_json(cell.data)["last"])


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (one["run"], one["step"]) == (other["run"], other["step"])
