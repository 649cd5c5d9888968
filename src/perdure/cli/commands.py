"""Which modules have which command: to import one is to hang its commands into the tree.

Only those of the command that was typed are imported. All sixty take longer than what most commands do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

__all__ = ["MODULES", "hang", "typed"]

MODULES: Mapping[str, str] = {
    "init": "project.scaffold",
    "demo": "project.demo",
    "run": "runs.run",
    "worker": "workers.worker",
    "serve": "workers.serve",
    "dev": "workers.dev",
    "login": "identity.login",
    "runs": "runs.listing runs.export runs.steer runs.forks runs.past",
    "approvals": "approvals.answers approvals.signatures",
    "approvers": "approvals.approvers",
    "escalations": "runs.escalations",
    "alerts": "governance.alerts",
    "outcome": "runs.outcomes",
    "series": "runs.series",
    "quarantine": "runs.quarantine",
    "stop": "governance.stop",
    "start": "governance.stop",
    "stopped": "governance.stop",
    "watchers": "governance.watchers",
    "budget": "governance.budget",
    "cost": "governance.cost",
    "signal": "runs.steer",
    "connect": "identity.connections",
    "connections": "identity.connections",
    "keys": "identity.api_keys",
    "sessions": "identity.api_keys",
    "memory": "memory.items memory.changes memory.reviews memory.sessions memory.knowledge",
    "schedules": "workers.schedules",
    "agents": "project.agents project.tools",
    "answers": "project.answers",
    "check": "project.check",
    "torture": "project.torture",
    "record": "project.recording",
    "workers": "workers.listing",
    "breakers": "governance.breakers",
    "policy": (
        "governance.policy governance.policy_tools governance.policy_trials governance.plan "
        "governance.policy_changes"
    ),
    "trust": "governance.trust",
    "mcp": "context.mcp context.mcp_serve",
    "openapi": "context.openapi",
    "databases": "context.databases",
    "identity": "identity.keys identity.revocations",
    "audit": "audit.erasing audit.export audit.feed audit.search audit.log audit.verify",
    "vault": "identity.vault",
    "doctor": "project.doctor",
    "db": "runs.past store.database store.backups store.copying",
    "rebuild": "store.projections",
    "import": "project.importing",
}
"""By the first word of a command, in the order of `perdure --help`: the one in which a newcomer needs them."""

_VALUED = ("--config", "--store", "--tenant", "--app")


def typed(arguments: Sequence[str]) -> str | None:
    """The first word of the command in `arguments`; None where none is known, as before `--help`."""
    words = iter(arguments)
    for word in words:
        if word in _VALUED:
            next(words, None)
        elif not word.startswith("-"):
            return word if word in MODULES else None
    return None


def hang(word: str | None = None) -> None:
    """Import the modules of the commands that begin with `word`; without one, all."""
    chosen = MODULES.values() if word is None else [MODULES[word]]
    for modules in chosen:
        for module in modules.split():
            import_module(f".{module}", __package__)
