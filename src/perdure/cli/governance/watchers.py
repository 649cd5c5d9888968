"""`perdure watchers ls`: who watches, by which worker, and how far behind."""

from __future__ import annotations

from ..command import Cli, command
from ..tree import watchers

__all__: list[str] = []


@command(watchers, "ls")
async def ls(cli: Cli) -> None:
    """List the watchers that have begun: the worker that each has now, and how many heads of runs it has yet to see."""
    from ...audit.feed import Cursor
    from ...audit.follower import followed
    from ...core.ids import DEFAULT_TENANT
    from ...engines.watching import CURSOR

    async with cli.opened() as app:
        found = await followed(app.store, CURSOR, tenant=DEFAULT_TENANT)
        size, now = await app.store.log_size(), app.store.now()
    told = [
        {
            "watcher": one.name,
            "worker": one.holder if one.until > now else None,
            "behind": max(0, size - 1 - Cursor.parse(one.state["cursor"]).place),
        }
        for one in found
    ]
    if cli.json:
        cli.answer(told)
        return
    if not told:
        cli.note("no watcher has begun: `@app.watcher` registers one, the table `[watchers]` turns two on")
        return
    from rich.text import Text

    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(str(one["watcher"])), style="bold"),
            Text("nobody drives it", style="red") if one["worker"] is None else safe(str(one["worker"])),
            f"{one['behind']:,}",
        ]
        for one in told
    ]
    cli.out.print(listing(("watcher", "worker", "behind"), rows, cli.out, squeeze=((0, 12),), right=(2,)))
