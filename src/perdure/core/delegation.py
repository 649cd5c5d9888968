"""Who handed a task on, and to whom: the chain of agents above a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["Handed", "chain_of", "chain_told"]


class Handed(NamedTuple):
    """An agent that started a run below its own."""

    agent: str
    """its name: with its tenant, which is that of the run below, and the trust domain it is a SPIFFE id"""
    run: str


def chain_of(started: Mapping[str, Any]) -> list[Handed]:
    """From the payload of a STARTED or CONTINUED entry: the nearest first, empty for a run that is no child."""
    return [Handed(str(told["agent"]), str(told["run"])) for told in started.get("chain", ())]


def chain_told(chain: Iterable[Handed]) -> list[dict[str, str]]:
    """As it stands in a journal: a list, as JSON within JSON has an end somewhere."""
    return [{"agent": handed.agent, "run": handed.run} for handed in chain]
