"""What must not get into a file: keys, tokens, passwords, wherever they stand.

By four ways, of which each would miss something alone: values of headers that were sent (`know`), names of fields and
query parameters, the forms that well-known secrets have, and what the user adds. A secret that a stream brings in
pieces is found in the pieces joined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

from ...core.errors import ConfigError

__all__ = ["REDACTED", "Redaction"]

REDACTED = "[redacted]"
"""Stands for what was removed. A request that is compared with a recorded one may have anything there."""

_NAME = (
    r"(?:[a-z0-9]+[-_ ])*(?:api[-_]?key|(?:access|refresh|auth|bearer|id|session|client|security)[-_]?token"
    r"|secret(?:[-_]?(?:access[-_]?)?key)?|client[-_]?secret|passw(?:or)?d|passphrase|authorization|credentials?"
    r"|(?:set[-_])?cookie|private[-_]?key|access[-_]?key|signing[-_]?key)"
)
_FIELD = re.compile(rf"{_NAME}|token|pwd|x-goog-api-key|signature", re.IGNORECASE)
"""Names of fields whose text is a secret."""

_QUERY = re.compile(rf"{_NAME}|key|token|sig|signature|x-amz-.*", re.IGNORECASE)

_SEALED = {"thinking", "thought", "reasoning"}
"""Beside these a `signature` is the provider's own seal on what a model thought, and has to go back to it."""

_FORMS = re.compile(
    r"(?<![\w-])sk-[\w*-]{8,}"  # OpenAI, Anthropic and others; errors show them with asterisks
    r"|(?<!\w)AIza[\w-]{30,}"
    r"|(?<!\w)(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hf_|gsk_|r8_|pypi-)[\w-]{16,}"
    r"|(?<!\w)(?:sk|rk|pk)_(?:live|test)_\w{8,}"
    r"|(?<!\w)(?:AKIA|ASIA)[A-Z0-9]{16}(?!\w)"
    r"|(?<!\w)ya29\.[\w-]{16,}"
    r"|(?<!\w)(?:org|proj|user)[-_][A-Za-z0-9]{16,}(?!\w)"
    r"|(?<!\w)eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_VALUES = re.compile(
    r"(?i:(?<!\w)(?:Bearer|Basic|Token)\s+)(?P<scheme>[\w.~+/=-]{8,})"
    r"|\w://[^\s/:@]*:(?P<login>[^\s/@]+)@"
    rf"|(?i:(?<!\w){_NAME})\\*[\"']\s*:\s*(?:\\*\"(?P<double>[^\"\\]+)|\\*'(?P<single>[^'\\]+))"  # in JSON
    rf"|(?i:(?<!\w){_NAME})\s*[:=]\s*[\"']?(?i:(?:Bearer|Basic)\s+)?(?P<plain>[^\s\\\"',;&}}\])]{{4,}})"
    r"|[?&](?i:key|api_?key|token|access_token|sig|signature)=(?P<query>[^\s&#\"'\\]+)"
)
"""Of these only a group is secret."""

_HEADERS = re.compile(
    r"authorization|proxy-authorization|cookie|set-cookie|.*api-?key|.*token|.*secret.*|.*organization.*|.*-project",
    re.IGNORECASE,
)
_ENVIRON = re.compile(r".*(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE)", re.IGNORECASE)
_SHORTEST = 8
"""A value that is shorter is known by its place only: as a text it would be found in anything."""

_INDEXES = ("index", "output_index", "content_index", "summary_index", "item_id")

_Leaf = tuple[Any, Any, str]
"""What it is in, under which key, and the text."""


class Redaction:
    """Removes secrets from exchanges. Raises `ConfigError` for a pattern that is no regular expression."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._known: frozenset[str] = frozenset()
        self._own: list[re.Pattern[str]] = []
        for pattern in patterns:
            try:
                self._own.append(re.compile(pattern))
            except re.error as error:
                raise ConfigError(f"`{pattern}` is no regular expression: {error}") from None

    def know(self, values: Iterable[str]) -> None:
        """These are secrets, wherever they are met."""
        self._known |= {value for value in values if len(value) >= _SHORTEST}

    def know_headers(self, headers: Mapping[str, str]) -> None:
        """What headers carry for secrets, with and without the scheme; cookies one by one."""
        for name, value in headers.items():
            if not _HEADERS.fullmatch(name):
                continue
            parts = [value, *value.split()]
            if "cookie" in name.lower():
                parts = [pair.partition("=")[2].strip() for pair in value.split(";")]
            self.know(part for part in parts if part.lower() not in ("bearer", "basic"))

    def know_query(self, target: str) -> None:
        """What the address of a request carries for secrets."""
        self.know(value for name, value in parse_qsl(urlsplit(target).query) if _QUERY.fullmatch(name))

    def know_environ(self, environ: Mapping[str, str]) -> None:
        """What variables carry whose names end as those of secrets do."""
        self.know(value for name, value in environ.items() if _ENVIRON.fullmatch(name))

    # what is left -----------------------------------------------------------------------------------------------

    def target(self, target: str) -> str:
        """A path with its query."""
        parts = urlsplit(target)
        pairs = [
            f"{name}={REDACTED if _QUERY.fullmatch(name) else quote(self.text(value), safe='[]')}"
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        return self.text(parts.path) + ("?" + "&".join(pairs) if pairs else "")

    def text(self, text: str) -> str:
        """A text."""
        cuts = self._cuts(text)
        for start, end in reversed(cuts):
            text = text[:start] + REDACTED + text[end:]
        return text

    def value(self, value: Any) -> Any:
        """A JSON value."""
        if isinstance(value, str):
            return self._json(value)
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, Any]", value)
            return {
                self.text(name): REDACTED if _is_secret(name, one, fields) else self.value(one)
                for name, one in fields.items()
            }
        if isinstance(value, list):
            return [self.value(one) for one in cast("list[Any]", value)]
        return value

    def _json(self, text: str) -> str:
        """A text that may be JSON itself, as arguments and results of tools are."""
        if text[:1] in ("{", "["):
            try:
                told = json.loads(text)
            except (ValueError, RecursionError):
                return self.text(text)
            cleaned = self.value(told)
            if cleaned != told:
                close = json.dumps(told, separators=(",", ":"), ensure_ascii=False) == text
                return json.dumps(cleaned, separators=(",", ":") if close else None, ensure_ascii=False)
        return self.text(text)

    def stream(self, events: Sequence[tuple[str | None, Any]]) -> list[tuple[str | None, Any]]:
        """The events of a stream, where a secret may be spread over several."""
        cleaned = [(name, self.value(data)) for name, data in events]
        runs: dict[tuple[Any, ...], list[_Leaf]] = {}
        for name, data in cleaned:
            for place, leaf in _leaves(data, (name,)):
                runs.setdefault(place, []).append(leaf)
        for leaves in runs.values():
            if len(leaves) > 1:
                self._join(leaves)
        return cleaned

    def _join(self, leaves: list[_Leaf]) -> None:
        """Cut out of the pieces what is secret in the whole: the marker stands in the piece where it begins."""
        offset = 0
        cuts = self._cuts("".join(text for _, _, text in leaves))
        if not cuts:
            return
        for holder, key, text in leaves:
            kept, at = "", offset
            for start, end in cuts:
                if start < offset + len(text) and end > offset:
                    kept += text[at - offset : max(start - offset, 0)] + (REDACTED if start >= offset else "")
                    at = min(end, offset + len(text))
            holder[key] = kept + text[at - offset :]
            offset += len(text)

    def _cuts(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are, from left to right, each whole."""
        found = [match.span() for pattern in (_FORMS, *self._own) for match in pattern.finditer(text)]
        found += [match.span(match.lastgroup or 0) for match in _VALUES.finditer(text)]
        for known in self._known:
            at = text.find(known)
            while at >= 0:
                found.append((at, at + len(known)))
                at = text.find(known, at + len(known))
        cuts: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if start == end or text[start:end] == REDACTED:
                continue
            if cuts and start <= cuts[-1][1]:
                cuts[-1] = cuts[-1][0], max(end, cuts[-1][1])
            else:
                cuts.append((start, end))
        return cuts


def _is_secret(name: str, value: Any, beside: Mapping[str, Any]) -> bool:
    """Whether a field's text is a secret by its name. Probabilities of tokens and seals of thoughts are none."""
    if not isinstance(value, str) or not value or not _FIELD.fullmatch(name):
        return False
    if name == "token" and "logprob" in beside:
        return False
    return name != "signature" or not (
        beside.get("type") in ("thinking", "signature_delta") or _SEALED & beside.keys()
    )


def _leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], _Leaf]]:
    """All texts, by a place that is the same for the pieces of one text."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        place = (*place, *(fields[name] for name in _INDEXES if isinstance(fields.get(name), str | int)))
        pairs: Iterator[tuple[Any, Any, Any]] = ((name, name, one) for name, one in fields.items())
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        pairs = ((i, _step(i, one), one) for i, one in enumerate(items))
    else:
        return
    for key, step, one in pairs:
        here = place if step is None else (*place, step)
        if isinstance(one, str):
            yield here, (cast("Any", value), key, one)
        else:
            yield from _leaves(one, here)


def _step(position: int, item: Any) -> int | None:
    """Of items that carry their index, it tells which they are, and not where they stand."""
    return None if isinstance(item, dict) and "index" in item else position
