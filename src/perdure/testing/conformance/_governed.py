"""What policies and stages ask of an adapter: tools as a model is to see them, calls without what is not for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic_core
import pytest

from ... import App, ConfigError, Run
from ...journal import Entry, Kind, RunStatus
from ...runtime import Agent
from ..kills import Boundary
from ..model_server import ModelServer, Reply, Turns, asks, call, says
from ..survival import kill_at
from ._cast import Part, World

__all__ = ["Governed"]

LIMIT = 60.0
_POLICIES = """
@id("all") permit (principal, action, resource);
@id("guess") @gate("evidence") @reason("nobody is paid on a guess")
forbid (principal, action in Action::"write", resource) when { context.confidence.lessThan(decimal("0.8")) };
"""

_LIMIT = """
@id("limit") @reason("no more than 2") forbid (principal, action == Action::"pay", resource) when {
  context.args.n > 2
};
"""

_ANSWERS = """
@id("all") permit (principal, action, resource);
@id("sure") forbid (principal, action == Action::"final answer", resource)
when { context.confidence.lessThan(decimal("0.8")) };
"""


class Governed:
    """Part of the suite of adapters."""

    def agent(self, part: Part) -> Any:
        """See `AdapterConformance`."""
        raise NotImplementedError

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        """See `AdapterConformance`."""
        raise NotImplementedError

    def play(self, app: App, world: World, agent: Any) -> Agent:
        """See `AdapterConformance`."""
        raise NotImplementedError

    async def test_how_sure_the_model_is_stands_beside_the_arguments(
        self, world: World, tmp_path: Path
    ) -> None:
        """It is asked for each write and told no tool; a guess is answered; a crash before the call loses nothing."""
        pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
        (tmp_path / "base.cedar").write_text(_POLICIES)
        app = App("memory://", policies=tmp_path)
        world.declare(app)
        guess = Reply(
            calls=(call("pay", n=1, confidence=0.4, unknowns=["whose bill it is"]), call("look", n=1))
        )
        sure = asks("pay", n=1, confidence=0.9, unknowns=[])
        with ModelServer(Turns([guess, sure, says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look", "pay")))
            scene = self.play(app, world, agent)

            trial = await kill_at(app, scene, "go", Boundary("before", "intent"), limit=LIMIT)
            forms = {tool.name: tool.arguments for tool in server.requests[0].tools}
            told = [m.text for m in server.requests[1].messages]

        assert trial.result == "done"
        assert trial.calls == {"look": 1, "pay": 1}
        assert set(forms["pay"]["properties"]) == {"n", "confidence", "unknowns"}
        assert set(forms["pay"]["required"]) == {"n", "confidence", "unknowns"}
        assert set(forms["look"]["properties"]) == {"n"}
        assert any(
            "nobody is paid on a guess (confidence 0.4; not known: whose bill it is)" in t for t in told
        )
        verdicts = [v for v in _told(trial.entries, Kind.VERDICT) if v["stage"] == "policy"]
        assert [(v["verdict"], v["call"]["stated"]["confidence"]) for v in verdicts] == [
            ("deny", 0.4),
            ("allow", 0.9),
        ]
        assert {str(v["call"]["arguments"]) for v in verdicts} == {"{'n': 1}"}

    async def test_how_sure_the_model_is_of_its_answer(self, world: World, tmp_path: Path) -> None:
        """It is asked, and taken out of the text; what was not said is not known, and the run is handed over."""
        pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
        (tmp_path / "base.cedar").write_text(_ANSWERS)
        ends: list[Any] = []
        for said in ('it is 3\n{"confidence": 0.9, "unknowns": []}', "it is 3"):
            app = App("memory://", policies=tmp_path)
            world.declare(app)
            with ModelServer(Turns([asks("look", n=3), says(said)])) as server:
                agent = self.agent(Part(server=server, tools=world.tools("look")))
                scene = self.play(app, world, agent)

                trial = await kill_at(app, scene, "go", Boundary("before", "ended"), limit=LIMIT)

                assert all('{"confidence": 0.0' in str(r.body) for r in server.requests)
            ends.append((trial.status, trial.result))
        assert ends[0] == (RunStatus.SUCCEEDED, "it is 3")
        assert ends[1][0] is RunStatus.ESCALATED

    async def test_policies_know_its_tools_before_it_has_run(self, world: World, tmp_path: Path) -> None:
        """By name and arguments, checked to the letter when they load; what a call brings is the same form."""
        pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
        (tmp_path / "base.cedar").write_text(_POLICIES + _LIMIT)
        app = App("memory://", policies=tmp_path)
        world.declare(app)
        with ModelServer(Turns([asks("pay", n=3), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look", "pay", "put")))
            scene = self.play(app, world, agent)
            book = app.policies.book()
            assert book is not None
            loaded = book.policies
            async with app:
                result = await (await app.start(scene, "go")).result()

        assert result == "done"
        assert world.paid == []
        assert set(loaded.schema.tools) >= {"look", "pay", "put"}
        assert loaded.schema.arguments["pay"]["attributes"]["n"] == {"type": "Long"}
        assert book.policies is loaded, "nothing had to be compiled anew for the call"
        (tmp_path / "base.cedar").write_text(_POLICIES + _LIMIT.replace("args.n", "args.m"))
        with pytest.raises(ConfigError, match=r"base\.cedar:7:\d+: .*`args.m`"):
            app.policies.read()

    async def test_in_a_planning_stage_there_are_only_reads(self, app: App, world: World) -> None:
        """Others are not offered, and refused where a model calls them all the same; after it they are back."""
        plan, act = [asks("pay", n=1), says("planned")], [asks("pay", n=2), says("done")]
        with ModelServer(Turns([*plan])) as planner, ModelServer(Turns([*act])) as actor:
            agents = [
                self.agent(Part(server=server, name=name, tools=world.tools("look", "pay", "mystery")))
                for server, name in ((planner, "planner"), (actor, "actor"))
            ]

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> Any:
                world.run = run
                async with run.planning():
                    planned = await self.ask(run, agents[0], prompt)
                return [planned, await self.ask(run, agents[1], prompt)]

            trial = await kill_at(app, scene, "go", Boundary("before", "intent"), limit=LIMIT)
            offered = {r.tool_names for r in planner.requests}, {r.tool_names for r in actor.requests}

        assert trial.result == ["planned", "done"]
        assert trial.calls == {"pay": 1}
        assert offered[0] == {("look",)}
        assert all(set(names) == {"look", "pay", "mystery"} for names in offered[1])
        assert set(world.paid) == {2}


def _told(entries: Sequence[Entry], kind: Kind) -> list[dict[str, Any]]:
    return [pydantic_core.from_json(e.payload) for e in entries if e.kind == kind]
