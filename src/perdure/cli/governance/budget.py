"""`perdure budget ls|set|raise`: what tenants, agents and runs may use, and how much of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..arguments import duration
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import budget

if TYPE_CHECKING:
    from ...governance import Budget, Standing

__all__: list[str] = []

Money = Annotated[str | None, typer.Option("--money", help="Dollars, as `2.50`.")]
Tokens = Annotated[int | None, typer.Option("--tokens", help="Input and output tokens together.")]
InputTokens = Annotated[int | None, typer.Option("--input-tokens", help="Tokens that models are given.")]
OutputTokens = Annotated[int | None, typer.Option("--output-tokens", help="Tokens that models say.")]
ModelCalls = Annotated[int | None, typer.Option("--model-calls", help="Turns of models.")]
ToolCalls = Annotated[int | None, typer.Option("--tool-calls", help="Calls of tools.")]
ActiveTime = Annotated[
    str | None, typer.Option("--active-time", help="Time in which a worker holds a run, as `1h30m`.")
]
WallClock = Annotated[
    str | None, typer.Option("--wall-clock", help="Time since the run was started, waiting counted, as `2d`.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it later.")]
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="`tenant`, or `agent/NAME`.")]


@command(budget, "ls")
async def ls(cli: Cli) -> None:
    """List shared budgets: their period, what is spent, set aside and left, and who set them."""
    async with cli.opened() as app:
        found = await app.budgets.ls()
    if cli.json:
        cli.answer([_json(s) for s in found])
        return
    if not found:
        cli.note("no shared budget; `perdure budget set tenant --money 50 --per day` makes one")
        return
    from ...governance.amounts import in_words
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for s in found:
        for name, most in s.limits.items():
            spent, held = (getattr(a, name) for a in (s.account.spent, s.account.held))
            rows.append(
                [
                    safe(s.shared.whose),
                    s.shared.period.name,
                    in_words(name, most),
                    in_words(name, spent),
                    in_words(name, held) if held else "",
                    in_words(name, max(0, most - spent - held)),
                    s.source,
                ]
            )
    headings = ("budget", "period", "limit", "spent", "set aside", "left", "by")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((6, 0), (4, 0)), right=(2, 3, 4, 5)))


@command(budget, "set")
async def set_(
    cli: Cli,
    scope: Scope,
    money: Money = None,
    tokens: Tokens = None,
    input_tokens: InputTokens = None,
    output_tokens: OutputTokens = None,
    model_calls: ModelCalls = None,
    tool_calls: ToolCalls = None,
    active_time: ActiveTime = None,
    per: Annotated[str | None, typer.Option("--per", help="hour, day, week or month.")] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="In which those begin.")] = "UTC",
    on_limit: Annotated[str, typer.Option("--on-limit", help="ask, finish or stop.")] = "ask",
    clear: Annotated[bool, typer.Option("--clear", help="What the configuration says holds again.")] = False,
    by: By = None,
    reason: Reason = "",
) -> None:
    """Set a shared budget, over all workers of the store; it goes before the configuration."""
    from ...governance import Budget

    limits = _limits(money, tokens, input_tokens, output_tokens, model_calls, tool_calls, active_time)
    if clear and limits:
        raise ConfigError("`--clear` takes no limits: it takes away those that were set")
    policy: dict[str, Any] = {"per": per, "timezone": timezone, "on_limit": on_limit}
    wanted = None if clear else Budget(**limits, **policy)
    async with cli.opened() as app:
        before = await app.budgets.set(scope, wanted, by=operator(by), reason=reason)
    if cli.json:
        cli.answer({"scope": scope, "before": _told(before), "after": _told(wanted)})
        return
    cli.note(f"budget `{scope}`: {'as configured again' if clear else 'set'}")


@command(budget, "raise")
async def raise_(
    cli: Cli,
    what: Annotated[
        str, typer.Argument(metavar="SCOPE|RUN", help="`tenant`, `agent/NAME`, or the id of a run.")
    ],
    money: Money = None,
    tokens: Tokens = None,
    input_tokens: InputTokens = None,
    output_tokens: OutputTokens = None,
    model_calls: ModelCalls = None,
    tool_calls: ToolCalls = None,
    active_time: ActiveTime = None,
    wall_clock: WallClock = None,
    stop: Annotated[bool, typer.Option("--stop", help="Of a run: let it end, rather than get more.")] = False,
    by: By = None,
    reason: Reason = "",
) -> None:
    """Add to a budget: of a run, or shared ones in their present period. Runs that wait for it go on."""
    from ...governance import Budget

    limits = _limits(
        money, tokens, input_tokens, output_tokens, model_calls, tool_calls, active_time, wall_clock
    )
    shared = what == "tenant" or what.startswith("agent/")
    who = operator(by)
    if stop and (limits or shared):
        raise ConfigError("`--stop` is for one run, and takes no limits")
    async with cli.opened() as app:
        if stop:
            await app.budgets.stop_run(what, by=who, reason=reason)
        elif shared:
            await app.budgets.raise_(what, Budget(**limits), by=who, reason=reason)
        else:
            await app.budgets.raise_run(what, Budget(**limits), by=who, reason=reason)
    if cli.json:
        cli.answer({"what": what, "stopped": stop, "raised": None if stop else _told(Budget(**limits))})
        return
    cli.note(f"`{what}`: {'told to stop' if stop else 'raised'}")


def _limits(
    money: str | None,
    tokens: int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    model_calls: int | None,
    tool_calls: int | None,
    active_time: str | None,
    wall_clock: str | None = None,
) -> dict[str, Any]:
    given = {
        "money": money,
        "tokens": tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "model_calls": model_calls,
        "tool_calls": tool_calls,
        "active_time": None if active_time is None else duration(active_time, what="`--active-time`"),
        "wall_clock": None if wall_clock is None else duration(wall_clock, what="`--wall-clock`"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _told(budget: Budget | None) -> Any:
    from ..display.boundary import in_dollars

    return None if budget is None else in_dollars(budget.to_json())


def _json(s: Standing) -> dict[str, Any]:
    """For programs: money is dollars, times are ISO 8601, durations microseconds."""
    from ...views.words import iso
    from ..display.boundary import amount_json, in_dollars

    return {
        "budget": s.shared.scope,
        "tenant": s.tenant,
        "period": s.shared.period.name,
        "ends": iso(s.shared.period.ends),
        "limits": in_dollars(s.limits),
        "spent": amount_json(s.account.spent),
        "held": amount_json(s.account.held),
        "source": s.source,
        "on_limit": s.shared.budget.on_limit,
        "history": [{**in_dollars(told), "at": iso(told["at"])} for told in s.history],
    }
