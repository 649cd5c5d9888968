"""A file of tools that Perdure begins and their owner finishes: what each looks like, and that nobody has said so yet.

    [tools.send_mail]
    effect = "write"
    why = "its name begins with `send`"
    confirmed = false

While `confirmed = false` stands there the entry is a note, and the tool counts as a `write` that nobody declared. What
is in the file already is never touched: entries are added at its end.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from .declared import Guess

__all__ = ["propose", "proposed"]

HEAD = """\
# What the tools of wrapped agents do to the world: read, idempotent, write or delegate.
# Perdure wrote down what each looks like, and acts upon none of it: set `effect` right, then take `confirmed = false`
# away. Until then the tool counts as a `write`.
"""


def proposed(text: str, tools: Iterable[tuple[str, Guess]]) -> tuple[str, list[str]]:
    """The text of a file with an entry for each tool that it does not have, and the names of those.

    Raises `ConfigError` for a text that is no TOML, or that no entry can be added to.
    """
    try:
        had: Any = tomllib.loads(text).get("tools", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"it is not readable TOML: {error}") from error
    new = {name: looks for name, looks in tools if not isinstance(had, dict) or name not in had}
    if not new:
        return text, []
    made = text if text.strip() else HEAD
    for name, looks in new.items():
        key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
        why = json.dumps(looks.why, ensure_ascii=False)
        made = made.rstrip("\n") + "\n\n"
        made += f'[tools.{key}]\neffect = "{looks.effect}"\nwhy = {why}\nconfirmed = false\n'
    try:
        tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"`[tools.NAME]` cannot be added to it ({error}): write `tools` as tables, one for each tool"
        ) from error
    return made, list(new)


def propose(file: Path, tools: Iterable[tuple[str, Guess]]) -> list[str]:
    """Add to a file, or begin one. Names of the tools that were added. Raises `ConfigError`."""
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        made, names = proposed(text, tools)
        if names:
            _replace(file, made)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{file}` cannot be written: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"`{file}`: {error}") from error
    return names


def _replace(file: Path, text: str) -> None:
    """All at once: several workers may meet the same tools at one moment."""
    target = file.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
