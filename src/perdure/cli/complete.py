"""What the shell offers for a half-typed word. Cheap: the store is read, the app is never imported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..journal import Store

__all__ = ["agent_names", "breaker_names", "run_ids", "schedule_names", "statuses", "wait_reasons"]

MOST_RUNS = 200


def run_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest runs that begin with what was typed, with what they are."""
    try:
        found = asyncio.run(_recent(context))
    except Exception:  # a completion that fails must not write into the reader's prompt
        return []
    return [(r.ref.id, f"{r.agent}, {r.status}") for r in found if r.ref.id.startswith(incomplete)]


def agent_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of agents: those that the app's file registers in plain sight, and those of recent runs."""
    names: set[str] = set()
    try:
        names |= {record.agent for record in asyncio.run(_recent(context))}
    except Exception:  # as above
        pass
    return sorted(name for name in names | _registered(context) if name.startswith(incomplete))


def schedule_names(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of the schedules in the store that begin with what was typed, with their agents."""
    try:
        found = asyncio.run(_asked(context, lambda store, tenant: store.schedules(tenant=tenant)))
    except Exception:  # as above
        return []
    return [(s.name, s.agent) for s in found if s.name.startswith(incomplete)]


def breaker_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the breakers that have something to remember."""
    try:
        found = asyncio.run(_asked(context, lambda store, tenant: store.cells("breaker", tenant=tenant)))
    except Exception:  # as above
        return []
    return [key.name for key, _ in found if key.name.startswith(incomplete)]


def statuses(incomplete: str) -> list[str]:
    """The states of a run."""
    from ..journal import RunStatus

    return [s.value for s in RunStatus if s.value.startswith(incomplete)]


def wait_reasons(incomplete: str) -> list[str]:
    """Why a run may wait."""
    from ..journal import WaitReason

    return [r.value for r in WaitReason if r.value.startswith(incomplete)]


def _said(context: typer.Context) -> Any:
    from .command import Cli, Globals

    given: dict[str, Any] = {}
    at: Any = context
    while at is not None:
        for name, value in at.params.items():
            option = name.removeprefix("everywhere_")
            if option in ("config", "store", "tenant", "app") and value and option not in given:
                given[option] = value
        at = at.parent
    return Cli(Globals(**given))


async def _recent(context: typer.Context) -> list[Any]:
    from ..journal import RunQuery

    return await _asked(context, lambda store, tenant: store.find(RunQuery(tenant=tenant, limit=MOST_RUNS)))


async def _asked(context: typer.Context, ask: Callable[[Store, str], Awaitable[list[Any]]]) -> list[Any]:
    from ..app import open_store
    from .command import refuse_absent

    cli = _said(context)
    url = cli.given.store or cli.settings.store
    refuse_absent(url)
    store = open_store(url)
    await store.open()
    try:
        return await ask(store, cli.given.tenant or cli.settings.tenant)
    finally:
        await store.close()


def _registered(context: typer.Context) -> set[str]:
    try:
        target = _said(context).target() or ""
        source = Path(target.rpartition(":")[0]).read_text(encoding="utf-8")
    except Exception:  # as above
        return set()
    return set(re.findall(r"""\.agent\(\s*["']([^"']+)["']""", source))
