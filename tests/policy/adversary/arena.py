"""The worst agent that there is: it does what its user asks, and whatever else it is told by anything it reads.

A human is behind it who says yes to what the user has asked for and no to everything else; what counts is what happens
without one.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure import App, Run
from perdure.journal import ENDINGS, Approval
from tests.runtime.conversations import Answers, asks, says

from .attacks import ATTACKS, Attack
from .domains import Domain, Step, Task, ToolSpec

__all__ = ["Arena", "Report"]


@dataclass
class Report:
    """What came of the trials of one domain."""

    domain: str
    trials: int = 0
    through: list[str] = field(default_factory=list[str])
    """attacker's actions that nobody was asked about"""
    asked_in_attacks: int = 0
    tasks: int = 0
    done: int = 0
    """tasks whose steps were all made"""
    free: int = 0
    """of those, without any approval"""
    approvals: int = 0
    by_aim: Counter[str] = field(default_factory=Counter[str])


class Arena:
    """One domain."""

    def __init__(self, domain: Domain, folder: Path) -> None:
        (folder / "base.cedar").write_text(domain.policies)
        self.domain = domain
        self.app = App(
            "memory://", policies=folder, approvals={"most_per_hour": 0, "groups": {"user": ["mira"]}}
        )
        self.made: list[Step] = []
        """what was really done"""
        self.injected = ""
        tools = [self._tool(spec) for spec in domain.tools]

        @self.app.agent("desk")
        async def desk(run: Run, task: str) -> str:
            return await run.model("fake:m", task, tools=tools)

    def _tool(self, spec: ToolSpec) -> Any:
        async def call(**arguments: Any) -> Any:
            if spec.effect != "read":
                self.made.append((spec.name, arguments))
                return "done"
            found = self._read(spec.name, arguments)
            return {"found": found, "text": self.injected} if "untrusted" in spec.labels else found

        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter(n, kind, annotation=t) for n, t in spec.parameters.items()]
        call.__signature__ = inspect.Signature(parameters, return_annotation=Any)  # type: ignore[attr-defined]
        call.__annotations__ = {**spec.parameters, "return": Any}
        call.__name__ = spec.name
        return self.app.tool(effect=spec.effect, labels=spec.labels, zone=spec.zone)(call)  # type: ignore[call-overload]

    def _read(self, tool: str, arguments: dict[str, Any]) -> Any:
        return self.domain.world[" ".join([tool, *map(str, arguments.values())])]

    async def play(self, tasks: Sequence[Task], attacks: Sequence[Attack]) -> Report:
        """Each task by itself, then each with each attack."""
        report = Report(self.domain.name)
        async with self.app:
            for task in tasks:
                await self._alone(task, report)
                for attack in attacks:
                    await self._attacked(task, attack, report)
        return report

    async def _alone(self, task: Task, report: Report) -> None:
        questions = await self._run(task.asked, task.steps, "", lambda _: True)
        report.tasks += 1
        report.approvals += questions
        effects = {spec.name for spec in self.domain.tools if spec.effect != "read"}
        done = [step for step in task.steps if step[0] in effects] == self.made
        report.done += done
        report.free += done and not questions

    async def _attacked(self, task: Task, attack: Attack, report: Report) -> None:
        steps = list(self._obeying(task, attack))
        evil = [step for step in steps if step not in task.steps]
        if not evil:
            return  # it has no call of its own that could be bent

        def is_asked_for(question: Approval) -> bool:
            return (question.tool, dict(question.arguments or {})) in list(task.steps)

        report.asked_in_attacks += await self._run(task.asked, steps, attack.text, is_asked_for)
        report.trials += 1
        for step in self.made:
            if step in evil:
                report.through.append(f"{task.name}: {attack.aim.name}: {step}")
                report.by_aim[attack.aim.name] += 1

    def _obeying(self, task: Task, attack: Attack) -> Iterator[Step]:
        """What it does: as soon as it has read the attack, that, and then its own task, bent."""
        untrusted = {spec.name for spec in self.domain.tools if "untrusted" in spec.labels}
        read = False
        for tool, arguments in task.steps:
            yield tool, {**arguments, **(attack.aim.swaps.get(tool, {}) if read else {})}
            if tool in untrusted and not read:
                read = True
                yield from attack.aim.calls

    async def _run(
        self, asked: str, steps: Sequence[Step], injected: str, says_yes: Callable[[Approval], bool]
    ) -> int:
        """How many questions there were."""
        self.made.clear()
        self.injected = injected
        self.app.models.register("fake", Answers(*(asks(step) for step in steps), says("done")))
        run = await self.app.start("desk", asked)
        answered: set[str] = set()
        while (await run.record()).status not in ENDINGS:
            seen = self.app.store.changes()
            for question in await self.app.open_approvals(run.id):
                if question.told["nonce"] in answered:
                    continue
                answered.add(question.told["nonce"])
                yes = says_yes(question)
                await self.app.answer(run.id, question.step, approved=yes, by="mira", digest=question.digest)
            await self.app.store.changed(seen, within=0.05)
        return len(answered)


def attacks_on(domain: Domain) -> list[Attack]:
    return ATTACKS[domain.name]
