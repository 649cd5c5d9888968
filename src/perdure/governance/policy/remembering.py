"""The writes to memory as policies see them: actions of the runtime's own, known where a policy names them.

And the recall of what was written, `memory_recall`: `context.args` has `labels`, `layer`, and the `agent` whose run
wrote it. It is judged where a policy names it; all else is recalled, with its labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schema import ToolForm

__all__ = ["RECALL", "RECALL_FORM", "REMEMBERING"]

_TEXT = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_TEXT_OR_NONE = {"anyOf": [_TEXT, {"type": "null"}]}
_INTEGER = {"type": "integer"}
_ENTITY: dict[str, Any] = {
    "type": "object",
    "properties": {"id": _INTEGER, "kind": _TEXT, "name": _TEXT},
    "required": ["id", "kind", "name"],
}
_NUMBER = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
_ANY: dict[str, Any] = {}
"""`context.args` has it in JSON"""


def _session(tool: str, /, **properties: Any) -> ToolForm:
    return _form(tool, session=_TEXT, **properties)


def _working(tool: str, /, **properties: Any) -> ToolForm:
    return _form(tool, space=_TEXT, **properties)


def _form(tool: str, /, **fields: Any) -> ToolForm:
    return ToolForm(tool, "idempotent", {"type": "object", "properties": fields, "required": list(fields)})


REMEMBERING: Mapping[str, ToolForm] = {
    form.name: form
    for form in (
        _session("session_append", role=_TEXT, content=_ANY, ttl=_ANY),
        _session("session_set", name=_TEXT, value=_ANY, if_version=_NUMBER, ttl=_ANY),
        _session("session_delete", name=_TEXT, if_version=_NUMBER),
        _session("session_compact", summary=_TEXT, upto={"type": "integer"}),
        _working("working_add", kind=_TEXT, source=_TEXT, text=_TEXT, ttl=_ANY),
        _working("working_forget", item=_TEXT),
        _form("knowledge_entity", kind=_TEXT, name=_TEXT, aliases=_TEXTS, another={"type": "boolean"}),
        _form("knowledge_alias", entity=_ENTITY, name=_TEXT, why=_TEXT),
        _form(
            "knowledge_say",
            subject=_ENTITY,
            relation=_TEXT,
            object=_ANY,
            value=_ANY,
            valid_from=_TEXT_OR_NONE,
            valid_to=_TEXT_OR_NONE,
            confidence=_ANY,
            says=_TEXT,
        ),
        _form("knowledge_retract", fact=_INTEGER, why=_TEXT),
        _form("knowledge_merge", one=_ENTITY, into=_ENTITY, why=_TEXT),
        _form("knowledge_undo", write=_INTEGER, why=_TEXT),
    )
}
"""By their names."""

RECALL = "memory_recall"
"""The action of a run that reads what was remembered."""
RECALL_FORM = ToolForm(
    RECALL,
    "read",
    {
        "type": "object",
        "properties": {"layer": _TEXT, "labels": {"type": "array", "items": _TEXT}, "agent": _TEXT},
        "required": ["layer", "labels", "agent"],
    },
)
"""`agent` is empty where nobody knows any more who wrote it."""
