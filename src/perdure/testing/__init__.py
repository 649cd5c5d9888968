"""For tests of programs that run on Perdure: time that skips, workers that die, a model that is told what to say.

The conformance suite for stores is in `perdure.testing.conformance`; it needs pytest, which this face does not. With
pytest, the fixtures `perdure_app` and `kill_at` are there by themselves (`perdure.testing.plugin`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..db.memory import MemoryStore
    from .cassette import Cassette, Recorder
    from .clocks import ManualClock, SkippingClock
    from .conformance import StoreConformance
    from .journals import JournalBuilder
    from .kills import Boundary, Killed, KillingStore, sigkill
    from .model_server import Fault, FaultRule, ModelServer, Reply, Rule, Rules, Turns
    from .oauth_server import OAuthServer
    from .stage import Stage
    from .survival import Trial, kill_at, survives, until_waiting, with_store

_WHERE = {
    "Boundary": ".kills",
    "Cassette": ".cassette",
    "Fault": ".model_server",
    "FaultRule": ".model_server",
    "JournalBuilder": ".journals",
    "Killed": ".kills",
    "KillingStore": ".kills",
    "ManualClock": ".clocks",
    "MemoryStore": "..db.memory",
    "ModelServer": ".model_server",
    "OAuthServer": ".oauth_server",
    "Recorder": ".cassette",
    "Reply": ".model_server",
    "Rule": ".model_server",
    "Rules": ".model_server",
    "SkippingClock": ".clocks",
    "Stage": ".stage",
    "StoreConformance": ".conformance",
    "Trial": ".survival",
    "Turns": ".model_server",
    "kill_at": ".survival",
    "sigkill": ".kills",
    "survives": ".survival",
    "until_waiting": ".survival",
    "with_store": ".survival",
}

__all__ = [
    "Boundary",
    "Cassette",
    "Fault",
    "FaultRule",
    "JournalBuilder",
    "Killed",
    "KillingStore",
    "ManualClock",
    "MemoryStore",
    "ModelServer",
    "OAuthServer",
    "Recorder",
    "Reply",
    "Rule",
    "Rules",
    "SkippingClock",
    "Stage",
    "StoreConformance",
    "Trial",
    "Turns",
    "kill_at",
    "sigkill",
    "survives",
    "until_waiting",
    "with_store",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: the pytest plugin must cost nothing where it is not."""
    if name not in _WHERE:
        raise AttributeError(f"module `perdure.testing` has no attribute `{name}`")
    from importlib import import_module

    value = getattr(import_module(_WHERE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
