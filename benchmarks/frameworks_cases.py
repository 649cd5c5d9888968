"""The bench of other people's frameworks: by themselves, in a Perdure run, and with what they use for durability."""

from __future__ import annotations

from typing import Any

from .cases import STORES, Bench, Case, Round, Scale
from .workload import ALONE

__all__ = [
    "ADDED",
    "CEILING",
    "FRAMEWORKS",
    "LANGGRAPH_AGENT",
    "OF_FOUNDATION",
    "PYDANTIC_AI",
    "TIMES",
    "Framework",
]

FOUNDATION = "perdure: no framework"
"""The same workload as plain steps: what a step of its own costs."""


class Framework:
    """The contenders of one framework."""

    def __init__(self, name: str, *, program: str, measure: str, others: dict[str, tuple[str, str]]) -> None:
        self.name = name
        self.program = program
        """measures it by itself"""
        self.measure = measure
        self.others = {f"{name}: {other}": found for other, found in others.items()}
        """what makes it durable elsewhere: the measurement, and the packages it needs"""
        self.bare = f"{name}: not durable"
        self.step = f"{name}: perdure, every step on disk"
        self.pipelined = f"{name}: perdure, commits under way"


PYDANTIC_AI = Framework(
    "pydantic-ai",
    program="contenders.pydantic_ai_agent:steps",
    measure="frameworks:pydantic_ai",
    others={"dbos": ("contenders.pydantic_ai_dbos_program:steps", "pydantic_ai_dbos")},
)
LANGGRAPH_AGENT = Framework(
    "langgraph",
    program="contenders.langgraph_agent:steps",
    measure="frameworks:langgraph",
    others={
        "its saver": ("contenders.langgraph_agent:steps_with_saver", "langgraph"),
        "its saver, plain dictionaries": ("contenders.langgraph_program:steps", "langgraph"),
    },
)
_FRAMEWORKS = (PYDANTIC_AI, LANGGRAPH_AGENT)

MANY = 64
ADDED = "added CPU per step"
OF_FOUNDATION = "added, of a step without framework"
TIMES = "times what is durable elsewhere"
CEILING = "not durable, times the same"


def _cases(scale: Scale) -> list[Case]:
    short = max(0.4, scale.seconds / 2)
    many: dict[str, Any] = {"runs": MANY if scale.seconds > 1 else 4, "seconds": scale.seconds}
    alone: dict[str, Any] = {"runs": 1, "seconds": short}

    def both(store: str, name: str, measure: str, group: str | None = None, **more: Any) -> list[Case]:
        takes = 5 if group is None else 7
        return [
            Case(store, name, measure, common | more, common["seconds"] + takes, group)
            for common in (many, alone)
        ]

    made = [case for of in _FRAMEWORKS for case in both("-", of.bare, of.program)]
    for store in STORES:
        made += both(store, FOUNDATION, "steps:perdure", mode="step")
        for of in _FRAMEWORKS:
            made += both(store, of.step, of.measure, durability="step")
            made += both(store, of.pipelined, of.measure, durability="pipelined")
            for name, (measure, group) in of.others.items():
                made += both(store, name, measure, group)
    return made


def _derive(found: Round) -> None:
    for store in STORES:
        for of in _FRAMEWORKS:
            bare = found.get(("-", of.bare))
            others = [found[store, name] for name in of.others if (store, name) in found]
            for name in (of.step, of.pipelined, *of.others):
                measured = found.get((store, name))
                for ending in ("", ALONE):
                    cpu = f"CPU per step{ending}"
                    if measured and bare and cpu in measured and cpu in bare:
                        measured[ADDED + ending] = (measured[cpu][0] - bare[cpu][0], "us")
            for name in (of.step, of.pipelined):
                if measured := found.get((store, name)):
                    _compare(measured, bare, found.get((store, FOUNDATION)), others)


def _compare(measured: Any, bare: Any, foundation: Any, others: list[Any]) -> None:
    """What it adds, against a step without framework; its rate, and the framework's, against the best of others."""
    for ending in ("", ALONE):
        cpu, rate = f"CPU per step{ending}", f"steps per second{ending}"
        if foundation and cpu in foundation and ADDED + ending in measured:
            measured[OF_FOUNDATION + ending] = (
                measured[ADDED + ending][0] / foundation[cpu][0],
                "ratio",
            )
        best = max((other[rate][0] for other in others if rate in other), default=None)
        if best is not None and rate in measured:
            measured[TIMES + ending] = (measured[rate][0] / best, "ratio")
            if bare and rate in bare:
                measured[CEILING + ending] = (bare[rate][0] / best, "ratio")


FRAMEWORKS = Bench(
    "frameworks",
    "Agents of other frameworks, 64 runs at once and one",
    _cases,
    derive=_derive,
    note=(
        "20 turns, each an answer and one tool call, then a last word; model and tool are free of work. Added: the CPU "
        "of a step less that of the framework by itself. Times: against the fastest that is durable elsewhere, on the "
        "same store. Beside it how many times as fast the framework is when nothing is durable, which nobody can pass. "
        "LangGraph's saver runs the same graph; with plain dictionaries in place of messages, models and tools it has "
        "less to do. The server's CPU and its log are of the measurement of 64 runs."
    ),
)
