"""Whether an answer counts. Asked twice: by whoever sends it, to be told at once, and by the run, which decides.

The first look is a courtesy. What lets a call pass is the second, made from the run's own journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, ValidationError

from ...core.approval_settings import ApprovalSettings
from ...core.clock import from_micros
from ...core.codec import arguments_bytes
from ...core.errors import InvalidInput
from ...core.json_form import misfits
from ...core.people import is_agent, person
from ..boundary.tool import Tool

__all__ = ["edited_arguments", "held_until", "why_not"]


def why_not(row: Mapping[str, Any], body: Mapping[str, Any], sender: str, settings: ApprovalSettings) -> str:
    """Why the answer `body` of `sender` does not count for what is open; empty where it does.

    `row` has `digest`, `people` (None: everybody), `held`, `requester` and `editable` of the open question.
    """
    given = body.get("digest")
    if given is None:
        return (
            "it does not say what it approves: give the digest that `perdure approvals show` prints beside the "
            "arguments"
        )
    if given != row["digest"]:
        return (
            f"it is for `{str(given)[:12]}`, and open is `{row['digest'][:12]}`: what was seen is not what would be "
            "done. Look again"
        )
    if is_agent(sender):
        return f"`{sender}` is an agent, and agents approve nothing"
    who = person(sender)
    requester = str(row["requester"])
    if not is_agent(requester) and person(requester) == who and not settings.self_approval:
        return (
            f"`{sender}` has started the run, and nobody approves what they have asked for themselves; somebody else "
            "has to (`self_approval = true` under `[approvals]` is for a person alone)"
        )
    people: list[str] | None = row["people"]
    if people is not None and who not in {person(name) for name in people}:
        held = {person(name): at for name, at in row["held"].items()}
        if who in held:
            return held_until(sender, held[who])
        asked = ", ".join(f"`{name}`" for name in people) or "nobody now"
        return f"`{sender}` is not among those who are asked: {asked}"
    if body.get("approved") and body.get("arguments") is not None:
        return _not_to_edit(row, body["arguments"])
    return ""


def _not_to_edit(row: Mapping[str, Any], given: Any) -> str:
    if not isinstance(given, dict):
        return f"edited arguments are an object, and `{str(given)[:100]}` is none"
    editable = row["editable"]
    if editable is True:
        return ""
    before, after = row["arguments"], cast("dict[str, Any]", given)
    names = [n for n in {**before, **after} if before.get(n) != after.get(n) or (n in before) != (n in after)]
    kept = sorted(n for n in names if editable is False or n not in editable)
    if kept:
        may = ", ".join(f"`{n}`" for n in editable) if editable else "none"
        return f"{', '.join(f'`{n}`' for n in kept)} may not be changed with the approval (those that may: {may})"
    return ""


def held_until(sender: str, until: int) -> str:
    """Said to somebody who had too much to approve of late."""
    at = f"{from_micros(until):%H:%M} UTC"
    return f"`{sender}` has had as much to approve within the hour as one person can look at: held back until {at}"


def edited_arguments(tool: Tool[..., Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Arguments that a human gave, validated: as values, and as JSON. Raises `InvalidInput`."""
    from ..conversation.toolbox import in_words

    if tool.form is not None:
        wrong = misfits(tool.form, dict(given))
        if wrong:
            raise InvalidInput(f"the edited arguments do not fit tool `{tool.name}`: {'; '.join(wrong)}")
        return dict(given), arguments_bytes(dict(given))[1:-1]
    form = cast("type[BaseModel]", tool.arguments)
    unknown = [name for name in given if name not in form.model_fields]
    if unknown:
        known = ", ".join(f"`{name}`" for name in form.model_fields) or "none"
        raise InvalidInput(
            f"tool `{tool.name}` takes no {', '.join(f'`{n}`' for n in unknown)}; its arguments: {known}"
        )
    try:
        checked = form.model_validate_json(pydantic_core.to_json(given))
    except ValidationError as error:
        raise InvalidInput(
            f"the edited arguments do not fit tool `{tool.name}`: {in_words(error)}"
        ) from error
    arguments = {
        name: getattr(checked, name) for name in form.model_fields if name in checked.model_fields_set
    }
    return arguments, arguments_bytes(arguments)[1:-1]
