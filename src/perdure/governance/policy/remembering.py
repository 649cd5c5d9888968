"""The writes to memory as policies see them: actions of the runtime's own, known where a policy names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schema import ToolForm

__all__ = ["REMEMBERING"]

_TEXT = {"type": "string"}
_NUMBER = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
_ANY: dict[str, Any] = {}
"""`context.args` has it in JSON"""


def _form(tool: str, /, **properties: Any) -> ToolForm:
    fields = {"session": _TEXT, **properties}
    return ToolForm(tool, "idempotent", {"type": "object", "properties": fields, "required": list(fields)})


REMEMBERING: Mapping[str, ToolForm] = {
    form.name: form
    for form in (
        _form("session_append", role=_TEXT, content=_ANY, ttl=_ANY),
        _form("session_set", name=_TEXT, value=_ANY, if_version=_NUMBER, ttl=_ANY),
        _form("session_delete", name=_TEXT, if_version=_NUMBER),
        _form("session_compact", summary=_TEXT, upto={"type": "integer"}),
    )
}
"""By their names."""
