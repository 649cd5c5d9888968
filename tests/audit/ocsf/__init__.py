"""A validator of OCSF events, by a part of the schema's release 1.8.0 (`schema-1.8.0.json` says where it is from)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("schema-1.8.0.json").read_text())
_KINDS = {
    "string_t": str,
    "integer_t": int,
    "long_t": int,
    "timestamp_t": int,
    "boolean_t": bool,
    "float_t": float,
}


def faults(event: dict[str, Any]) -> list[str]:
    """What is wrong with an event; empty: it is valid."""
    kind = SCHEMA["classes"].get(str(event.get("class_uid")))
    if kind is None:
        return [f"class_uid {event.get('class_uid')} is none of those here"]
    found = [*_object(event, kind, "$", event.get("metadata", {}).get("profiles", []))]
    if event.get("type_uid") != event["class_uid"] * 100 + event["activity_id"]:
        found.append("type_uid is not class_uid * 100 + activity_id")
    if event.get("category_uid") != kind["category_uid"]:
        found.append("category_uid is not that of the class")
    if event.get("status_id") == 99 and not event.get("status"):
        found.append("status_id 99 needs a status")
    return found


def _object(value: Any, form: dict[str, Any], path: str, profiles: list[str]) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    found: list[str] = []
    attributes: dict[str, Any] = form["attributes"]
    for name, attribute in attributes.items():
        applies = attribute.get("profile") in (None, *profiles)
        if attribute.get("required") and applies and name not in value:
            found.append(f"{path}.{name} is required")
        if not applies and name in value:
            found.append(f"{path}.{name} belongs to the profile {attribute['profile']}, which is not named")
    for name, inner in value.items():
        if name not in attributes:
            found.append(f"{path}.{name} is no attribute")
        else:
            found += _attribute(inner, attributes[name], f"{path}.{name}")
    constraints = form.get("constraints") or {}
    if (some := constraints.get("at_least_one")) and not set(some) & set(value):
        found.append(f"{path} needs at least one of {some}")
    if (one := constraints.get("just_one")) and len(set(one) & set(value)) != 1:
        found.append(f"{path} needs just one of {one}")
    return found


def _attribute(value: Any, attribute: dict[str, Any], path: str) -> list[str]:
    if attribute.get("array"):
        if not isinstance(value, list):
            return [f"{path} is no array"]
        one = {k: v for k, v in attribute.items() if k != "array"}
        return [fault for i, inner in enumerate(value) for fault in _attribute(inner, one, f"{path}[{i}]")]
    kind = attribute["type"]
    if kind == "object":
        return [] if isinstance(value, dict) else [f"{path} is no object"]
    if kind in SCHEMA["objects"]:
        return _object(value, SCHEMA["objects"][kind], path, [])
    if kind == "json_t":
        return []
    told = SCHEMA["types"].get(kind)
    if told is None:
        return [f"{path}: the type {kind} is none of those here"]
    base = _KINDS[told.get("type", kind)]
    if not isinstance(value, base) or isinstance(value, bool) != (base is bool):
        return [f"{path} is no {kind}"]
    if "enum" in attribute and value not in attribute["enum"]:
        return [f"{path}: {value} is none of {attribute['enum']}"]
    if "regex" in told and not re.fullmatch(told["regex"], str(value)):
        return [f"{path} does not look like a {kind}"]
    return []
