"""What happened on the way of a run, and what it cost, for people and for `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...governance import Amount, decimal_text, dollars, in_words, share_in_words
from ...views.story import Short, Step, Story
from ...views.words import one_line, safe, short_span
from ..command import Cli
from .screen import glyph

__all__ = [
    "amount_json",
    "ending_json",
    "in_dollars",
    "on_the_way_json",
    "show_on_the_way",
    "short_commands",
    "spent_text",
    "spent_words",
    "step_cost",
]

MOST = 30
"""Lines of what happened on the way; of more, the last ones are shown."""


def spent_words(story: Story) -> str:
    """`$0.0123 of $1.00; 2 model calls, 1,300 input tokens; $0.02 set aside for calls under way`; empty: nothing."""
    spent, held = story.ledger.spent, Amount() if story.over else story.ledger.reserved
    if not spent and not held:
        return ""
    limits = {name: int(n) + story.ledger.raised.get(name, 0) for name, n in story.limits.items()}
    parts = [_of(spent, limits)]
    if held:
        parts.append(f"{_of(held, {})} set aside for calls under way")
    for word, count in (
        ("estimated", sum(line.estimated for line in story.ledger.charges)),
        ("without a price", sum(line.unpriced for line in story.ledger.charges)),
    ):
        if count:
            parts.append(f"{count} charge{'' if count == 1 else 's'} {word}")
    return "; ".join(parts)


def _of(amount: Amount, limits: Mapping[str, int]) -> str:
    words = [
        share_in_words(name, n, limits[name]) if name in limits else in_words(name, n)
        for name, n in amount.to_json().items()
        if name not in ("tokens", "active_time") or name in limits
    ]
    return ", ".join(words) or dollars(0)


def spent_text(told: Mapping[str, Any]) -> str:
    """An amount of the journal: `$0.0123, 100 input tokens, 1 model calls`."""
    return _of(Amount.from_json(told), {})


def step_cost(step: Step) -> str:
    """What a step cost, for the timeline; empty where it cost nothing."""
    if not step.cost.money:
        return "no price" if step.unpriced else ""
    return dollars(step.cost.money) + (" (estimated)" if step.estimated else "")


def show_on_the_way(out: Console, story: Story) -> None:
    """Failed attempts, verdicts, warnings, what was left out of conversations: each in a line, as they came."""
    if not story.on_the_way:
        return
    out.print()
    out.print(Text("On the way", style="bold"))
    grid = Table.grid(padding=(0, 2))
    for column in ({"style": "dim", "justify": "right"}, {}, {"style": "bold"}):
        grid.add_column(no_wrap=True, **column)  # pyright: ignore[reportArgumentType]  # Rich's literals
    grid.add_column(overflow="fold")
    if (earlier := len(story.on_the_way) - MOST) > 0:
        grid.add_row("", "", "", Text(f"{earlier} more before these: `--entries`", style="dim"))
    for one in story.on_the_way[-MOST:]:
        at = "+" + short_span(max(one.at - story.began, 0))
        sign = Text(glyph(one.sign, out), style=one.style)
        grid.add_row(at, sign, safe(one.step), Text(one_line(one.text)))
    out.print(Padding(grid, (0, 0, 0, 2), expand=False))


def short_commands(cli: Cli, run: str, short: Short) -> list[str]:
    """The commands that give a run what it waits for, or end it."""
    whose = run if short.whose == "run" else short.whose.replace(" ", "/")
    option = "--" + short.dimension.replace("_", "-")
    more = cli.hint("budget", "raise", whose, option, "MORE")
    return [more, cli.hint("budget", "raise", run, "--stop")]


def amount_json(amount: Amount) -> dict[str, Any]:
    """An amount for programs: `money` in dollars, as an exact decimal in a string; the rest as it is reckoned."""
    return in_dollars(amount.to_json())


def in_dollars(told: Any) -> Any:
    """The JSON of budgets with each `money` in dollars, as an exact decimal in a string, however deep it stands."""
    if isinstance(told, Mapping):
        items = cast("Mapping[str, Any]", told).items()
        return {
            k: decimal_text(v) if k == "money" and isinstance(v, int) else in_dollars(v) for k, v in items
        }
    if isinstance(told, list | tuple):
        return [in_dollars(one) for one in cast("list[Any]", told)]
    return told


def ending_json(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the last entry says of the end, for programs: money in dollars, and nothing that is of the journal alone."""
    if told is None:
        return None
    found = {name: in_dollars(value) if name == "spent" else value for name, value in told.items()}
    if isinstance(found.get("check"), dict):
        check: dict[str, Any] = found["check"]
        found["check"] = {
            name: in_dollars(value) if name == "spent" else value
            for name, value in check.items()
            if name != "scopes"
        }
    return found


def on_the_way_json(story: Story) -> list[dict[str, Any]]:
    """What happened on the way, for programs."""
    return [
        {"step": one.step, "after_us": one.at - story.began, "what": one.text} for one in story.on_the_way
    ]
