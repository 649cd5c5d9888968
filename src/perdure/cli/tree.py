"""The tree that commands are hung into: the root, and the groups."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from .commands import MODULES

__all__ = [
    "Root",
    "agents",
    "alerts",
    "approvals",
    "approvers",
    "audit",
    "breakers",
    "budget",
    "connections",
    "db",
    "escalations",
    "identity",
    "imports",
    "keys",
    "memory",
    "memory_knowledge",
    "memory_review",
    "memory_sessions",
    "policy",
    "quarantine",
    "root",
    "runs",
    "schedules",
    "series",
    "sessions",
    "trust",
    "vault",
    "watchers",
    "workers",
]


class Root(TyperGroup):
    """The root group: with `--json`, also a command line that cannot be understood is answered in JSON."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which a newcomer needs them."""
        return [name for name in MODULES if name in self.commands]

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line `args`."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given or not options.pop("standalone_mode", True):
            return super().main(args, *rest, **options)
        try:
            code = super().main(args, *rest, standalone_mode=False, **options)
        except Exception as error:
            # Typer has carried its own copy of click's errors since 0.2x: their base is not to be named here.
            if not hasattr(error, "format_message"):
                raise
            message: str = error.format_message()  # type: ignore[attr-defined]
            exit_code: int = getattr(error, "exit_code", 2)
            print(f"error: {message}", file=sys.stderr)
            print(json.dumps({"error": {"type": "UsageError", "message": message, "exit": exit_code}}))
            sys.exit(exit_code)
        sys.exit(code if isinstance(code, int) else 0)


_SETTINGS = {"help_option_names": ["--help", "-h"]}

root = typer.Typer(
    cls=Root,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


def _group(name: str, help: str, panel: str, *, under: typer.Typer = root) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", context_settings=_SETTINGS)
    under.add_typer(group, name=name, help=help, rich_help_panel=panel)
    return group


runs = _group("runs", "Look at runs, and steer them.", "Look and steer")
approvals = _group("approvals", "Questions that wait for a human.", "Look and steer")
approvers = _group("approvers", "The keys by which people sign their answers.", "Look and steer")
escalations = _group("escalations", "What was handed to people, and who has taken it.", "Look and steer")
alerts = _group("alerts", "What people were told without having asked.", "Look and steer")
watchers = _group("watchers", "What watches agents, and how far behind it is.", "Look and steer")
series = _group("series", "Runs that go on with each other's work.", "Look and steer")
quarantine = _group("quarantine", "Runs that killed their workers.", "Look and steer")
budget = _group("budget", "What may be used, and what is left of it.", "Look and steer")
audit = _group("audit", "Who did what, for whom, and the proof of it.", "Look and steer")
memory = _group("memory", "What agents remember beyond one run.", "Look and steer")
memory_sessions = _group("sessions", "Conversations and cases.", "Look and steer", under=memory)
memory_knowledge = _group("knowledge", "Dated facts about people and things.", "Look and steer", under=memory)
memory_review = _group(
    "review", "What waits for a person before it is remembered.", "Look and steer", under=memory
)
schedules = _group("schedules", "What starts runs by the clock.", "Look and steer")
agents = _group("agents", "What the app has registered.", "Look and steer")
policy = _group("policy", "What agents may do.", "Look and steer")
trust = _group("trust", "How much agents do by themselves.", "Look and steer")
mcp = _group("mcp", "Tools of MCP servers, and their reviews.", "Look and steer")
openapi = _group("openapi", "Operations of OpenAPI documents, and their reviews.", "Look and steer")
databases = _group("databases", "SQL databases that agents may read.", "Look and steer")
breakers = _group("breakers", "What is left alone because it failed too often.", "Look and steer")
identity = _group("identity", "The agents' names and keys.", "Look and steer")
keys = _group("keys", "What programs show to a server: API keys.", "Look and steer")
sessions = _group("sessions", "Who is signed in at a server.", "Look and steer")
connections = _group("connections", "The accounts that users have connected.", "Look and steer")
vault = _group("vault", "The keys that users' credentials are sealed with.", "Look and steer")
workers = _group("workers", "Who works on this store.", "Look and steer")
db = _group("db", "The store as a whole: its version, its size, its soundness.", "Care")
imports = _group("import", "Take over what others have kept.", "Care")
