"""What an adapter of a framework must do, as a suite that any of them can run.

    class TestTheirs(AdapterConformance):
        def agent(self, part: Part) -> Any:
            return TheirAgent(model=their_client(part.server.openai_url), tools=part.tools, name=part.name)

        async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
            return (await run.wrap(agent)(prompt)).text

Override `stream` where the framework can. What it cannot do at all goes into `cannot`, with the reason, by the name of
the test: that test is skipped and says so. The suite needs pytest and pytest-asyncio; for readable failures call
`pytest.register_assert_rewrite("perdure.testing.conformance")` in a `conftest.py`.

The model is a real HTTP server (`ModelServer`), which answers by the turn of the conversation. Stores are in memory,
time skips, and most tests run once for each boundary of the journal, with a worker that dies there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

import pydantic_core
import pytest

from ... import App, Budget, Handle, Run
from ...journal import Approval, Kind, RunStatus
from ...runtime import Agent
from ...runtime.boundary.saying import listen
from ...views.hearing import being_said
from ..kills import Boundary
from ..model_server import Fault, FaultRule, ModelServer, Reply, Rule, Rules, Turns, asks, call, gives, says
from ..survival import Trial, kill_at, survives, until_waiting
from ._cast import Broken, Number, Part, World
from ._governed import Governed

__all__ = ["AdapterConformance", "Broken", "Number", "Part", "World"]

LIMIT = 60.0
"""Seconds for each trial: each asks a server."""


class AdapterConformance(Governed):
    """The whole suite. Override `agent` and `ask`, and `stream` where the framework can."""

    cannot: ClassVar[Mapping[str, str]] = {}
    """what the framework cannot do: why, by the name of the test"""
    tool_errors: ClassVar[Literal["raised", "told"]] = "told"
    """what becomes of an exception of a tool: the agent's caller gets it, or the model is told"""

    def agent(self, part: Part) -> Any:
        """The framework's agent. Called once a test, or once for each agent in it."""
        raise NotImplementedError

    async def ask(self, run: Run, agent: Any, prompt: str) -> Any:
        """Run the agent, wrapped, and give its answer: text, or a `Number` where the part has that form."""
        raise NotImplementedError

    def stream(self, run: Run, agent: Any, prompt: str) -> AsyncIterator[str]:
        """Run the agent, wrapped, and give the pieces of its text as they come."""
        pytest.skip("`stream` is not overridden")

    async def close(self) -> None:
        """Close what the agents of a test have opened: clients, say. Called after each test, in its loop."""

    @pytest.fixture(autouse=True)
    async def possible(self, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        """Skip what the framework cannot do; close what a test has opened."""
        name = getattr(request.node, "originalname", None) or request.node.name
        if name in self.cannot:
            pytest.skip(self.cannot[name])
        yield
        await self.close()

    @pytest.fixture
    def world(self) -> World:
        """The tools, and what they see."""
        return World()

    @pytest.fixture
    def app(self, world: World) -> App:
        """With the tools declared."""
        app = App("memory://", lease=timedelta(seconds=2))
        world.declare(app)
        return app

    def play(self, app: App, world: World, agent: Any) -> Agent:
        """An agent of Perdure that does nothing but ask the framework's."""

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            world.run = run
            world.lives += 1
            answer = await self.ask(run, agent, prompt)
            return answer.n if isinstance(answer, Number) else answer

        return scene

    # crashes -------------------------------------------------------------------------------------------------

    async def test_a_worker_may_die_at_any_moment(self, app: App, world: World) -> None:
        """Parallel calls of all effects, two alike among them: same end, nothing twice, no turn asked for again."""
        first = Reply(
            calls=(call("look", n=1), call("pay", n=1), call("look", n=1), call("put", n=2), call("pay", n=2))
        )
        with ModelServer(Turns([first, asks("pay", n=1), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look", "put", "pay")))

            trials = await survives(app, self.play(app, world, agent), "go", limit=LIMIT)

        assert trials[0].result == "done"
        assert trials[0].calls == {"look": 2, "pay": 3, "put": 1}
        assert len(trials) > 20
        keys = {e.key for e in trials[0].entries if e.kind == Kind.RESULT}
        assert len(keys) == 9, "three turns, six calls"

    async def test_an_undeclared_tool_is_a_write_in_doubt(self, app: App, world: World) -> None:
        """Killed between its intent and its result it is not called again: somebody is asked."""
        with ModelServer(Turns([asks("mystery", n=1), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("mystery")))

            trial = await kill_at(
                app, self.play(app, world, agent), "go", Boundary("after", "intent"), limit=LIMIT
            )

        assert trial.result == "done"
        assert len(trial.doubts) == 1
        assert trial.calls == {"mystery": 1}

    async def test_an_error_keeps_its_type_on_replay(self, app: App, world: World) -> None:
        """Of a tool: the caller catches the same error live and after a crash, or the model is told the same."""
        with ModelServer(Turns([asks("broken", n=7), asks("pay", n=1), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("broken", "pay")))

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> Any:
                try:
                    return await self.ask(run, agent, prompt)
                except Broken as error:
                    await run.step("note", str)
                    return [str(error), error.code]

            trials = await survives(app, scene, "go", limit=LIMIT)
            told = [r.last for r in server.requests if r.turn == 2]

        if self.tool_errors == "raised":
            assert trials[0].result == ["there is no number 7", 7]
        else:
            assert trials[0].result == "done"
            assert told
            assert all("there is no number 7" in text for text in told)

    async def test_an_error_of_the_model_keeps_its_type_on_replay(self, app: App, world: World) -> None:
        """What `ask` raises is of one type, whether it comes from the provider or from the journal."""
        kinds: list[list[str]] = []
        with ModelServer(Turns([asks("look", n=1), Fault("bad_request")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look")))

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> Any:
                try:
                    return await self.ask(run, agent, prompt)
                except Exception as error:
                    kinds.append([c.__name__ for c in type(error).__mro__ if c.__module__ != "builtins"])
                    await run.step("note", str)
                    return "failed"

            trials = await survives(app, scene, "go", limit=LIMIT)

        assert trials[0].result == "failed"
        assert len(kinds) > len(trials), "some were replayed"
        assert {kind[-1] for kind in kinds} == {kinds[0][-1]}
        assert all(set(kinds[0]) <= set(kind) for kind in kinds)

    # waiting -------------------------------------------------------------------------------------------------

    async def test_where_all_calls_wait_the_run_is_suspended(self, app: App, world: World) -> None:
        """Two waits at once, answered in the other order; the model is not asked again when the run wakes."""
        waits = Reply(calls=(call("ask_person", topic="a"), call("ask_person", topic="b")))
        with ModelServer(Turns([asks("pay", n=1), waits, says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("ask_person", "pay")))
            scene = self.play(app, world, agent)
            async with app:
                run = await app.start(scene, "go")
                await until_waiting(app, run, "signal")
                await run.signal("b", "2")
                await run.signal("a", "1")
                result = await run.result()
                suspended = [e for e in await run.entries() if e.kind == Kind.SUSPENDED]
            turns = [r.turn for r in server.requests]

        assert result == "done"
        assert suspended
        assert world.lives >= 2, "it was left, and began again"
        assert turns == [1, 2, 3]
        assert world.paid == [1]

    async def test_another_tool_than_was_recorded_never_goes_live(self, app: App, world: World) -> None:
        """After a deploy that takes a tool away, a waiting run does not go on as if nothing had happened."""
        with ModelServer(Turns([asks("ask_person", topic="a"), asks("pay", n=1), says("done")])) as server:
            agents = [self.agent(Part(server=server, tools=world.tools("ask_person", "pay")))]

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> Any:
                world.run = run
                return await self.ask(run, agents[-1], prompt)

            async with app:
                run = await app.start(scene, "go")
                await until_waiting(app, run, "signal")
                agents.append(self.agent(Part(server=server, tools=world.tools("ask_person"))))
                await run.signal("a", "1")
                await until_waiting(app, run, "nondeterministic")

        assert world.paid == []

    async def test_a_cancelled_run_ends_through_the_framework(self, app: App, world: World) -> None:
        """While a tool waits; what was paid is not paid again, and no turn follows."""
        with ModelServer(Turns([asks("pay", n=1), asks("ask_person", topic="a"), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("ask_person", "pay")))
            scene = self.play(app, world, agent)
            async with app:
                run = await app.start(scene, "go")
                await until_waiting(app, run, "signal")
                await run.cancel(reason="enough")
                await ended(app, run)
                status = await run.status()
            turns = [r.turn for r in server.requests]

        assert status is RunStatus.CANCELLED
        assert turns == [1, 2]
        assert world.paid == [1]

    async def test_a_cancellation_reaches_the_tool_under_way(self, app: App, world: World) -> None:
        """It is cut off, and no framework can make an answer for the model of that."""
        with ModelServer(Turns([asks("pay", n=1), asks("linger", n=1), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("linger", "pay")))
            scene = self.play(app, world, agent)
            async with app:
                run = await app.start(scene, "go")
                await world.lingering.wait()
                await run.cancel(reason="enough")
                await ended(app, run)
                status = await run.status()
                last = [e for e in await run.entries() if e.key.endswith("/linger")][-1]
            turns = [r.turn for r in server.requests]

        assert status is RunStatus.CANCELLED
        assert turns == [1, 2]
        assert last.kind == Kind.FAILED
        assert b"RunCancelled" in last.payload
        assert b"enough" in last.payload

    # approvals -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("by", ["terms", "framework", "both"])
    async def test_an_approval_is_asked_for_once(self, app: App, world: World, by: str) -> None:
        """By the tool's terms, by the framework's own means, or by both: one question, then one payment."""
        trials, server = await self._approval(app, world, by, approved=True)

        assert trials[0].result == "done"
        assert trials[0].calls == {"pay": 1}
        assert next(r.last for r in server.requests if r.turn == 2) == "paid 100"

    @pytest.mark.parametrize("by", ["terms", "framework"])
    async def test_an_edit_is_what_is_called(self, app: App, world: World, by: str) -> None:
        """The human lets less be paid: the tool gets that, and the model is told the result."""
        trials, server = await self._approval(app, world, by, approved=True, arguments={"n": 50})

        assert trials[0].result == "done"
        assert set(world.paid) == {50}
        assert next(r.last for r in server.requests if r.turn == 2) == "paid 50"

    @pytest.mark.parametrize("by", ["terms", "framework"])
    async def test_a_rejection_reaches_the_model_with_its_reason(
        self, app: App, world: World, by: str
    ) -> None:
        """Nothing is paid, and the agent goes on."""
        trials, server = await self._approval(app, world, by, approved=False, reason="far too much")

        assert trials[0].result == "done"
        assert world.paid == []
        assert "far too much" in next(r.last for r in server.requests if r.turn == 2)

    async def _approval(
        self, app: App, world: World, by: str, **answer: Any
    ) -> tuple[list[Trial], ModelServer]:
        asked: set[str] = set()

        async def boss(app: App, run: Handle) -> None:
            question = await opened(app, run)
            asked.add(question.step)
            digest = question.digest
            await app.answer(run.id, question.step, by="boss", digest=digest, **answer)

        app.effects.declare("write", "pay", needs_approval=by != "framework")
        own = frozenset(["pay"] if by != "terms" else [])
        with ModelServer(Turns([asks("pay", n=100), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("pay"), needs_approval=own))
            trials = await survives(app, self.play(app, world, agent), "go", outside=boss, limit=LIMIT)
        for trial in trials:
            waited = {e.key for e in trial.entries if e.kind == Kind.WAITING and b"May `pay`" in e.payload}
            assert len(waited) == 1, f"asked once in {trial}"
        return trials, server

    # what else agents do -------------------------------------------------------------------------------------

    async def test_agents_inside_tools_stand_below_them(self, app: App, world: World) -> None:
        """Two at once: each turn and payment once, in the scope of its call."""
        outer = "You are the actor."
        inner = "You are the expert."
        both = Reply(calls=(call("expert", task="one"), call("expert", task="two")))
        script = Rules(
            [
                Rule(both, system=outer, turn=1),
                Rule(says("all done"), system=outer, turn=2),
                Rule(asks("pay", n=7), system=inner, turn=1),
                Rule(says("paid it"), system=inner, turn=2),
            ]
        )
        with ModelServer(script) as server:
            expert = Part(server=server, name="expert", instructions=inner, tools=world.tools("pay"))
            agent = self.agent(Part(server=server, instructions=outer, helpers={"expert": expert}))

            trials = await survives(app, self.play(app, world, agent), "go", limit=LIMIT)

        assert trials[0].result == "all done"
        assert trials[0].calls == {"pay": 2}
        paid = [e.key for e in trials[0].entries if e.kind == Kind.INTENT]
        assert len(paid) == len(set(paid)) == 2
        assert all(".expert." in key for key in paid)

    async def test_an_answer_that_does_not_fit_is_asked_for_again(self, app: App, world: World) -> None:
        """Structured output, its retry included, survives as turns do."""
        with ModelServer(Turns([asks("look", n=1), gives({"n": "many"}), gives({"n": 3})])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look"), output=Number))

            trials = await survives(app, self.play(app, world, agent), "go", limit=LIMIT)

        assert trials[0].result == 3

    async def test_a_stream_is_live_and_recorded_once(self, app: App, world: World) -> None:
        """The server stops in the middle until it is told that a piece has come; a recorded message is there whole."""
        text = "one two three four five six seven eight"
        stalls = FaultRule(Fault("stalled"), turn=2)
        with ModelServer(Turns([asks("look", n=1), says(text)]), faults=[stalls]) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look")))

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> Any:
                pieces: list[str] = []
                async for piece in self.stream(run, agent, prompt):
                    pieces.append(piece)
                    server.release()
                return "".join(pieces)

            trials = await survives(app, scene, "go", limit=LIMIT)

        assert trials[0].result == text
        turns = [e for e in trials[0].entries if e.kind == Kind.RESULT and "turn" in e.key.rsplit("/")[-1]]
        assert len(turns) == 2

    async def test_a_stream_is_heard_by_whoever_listens(self, app: App, world: World) -> None:
        """What the model says stands in a cell while it is said, where somebody listens to the run."""
        text = "one two three four five six seven eight"
        with ModelServer(Turns([says(text)]), faults=[FaultRule(Fault("stalled"))]) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look")))

            @app.agent("scene")
            async def scene(run: Run, prompt: str) -> str:
                return "".join([piece async for piece in self.stream(run, agent, prompt)])

            async with app, asyncio.timeout(LIMIT):
                ref = app.ref("heard")
                await listen(app.store, [ref])
                handle = await app.start(scene, "go", run_id=ref.id)
                while not (said := await being_said(app.store, ref)):
                    await asyncio.sleep(0.02)
                    await listen(app.store, [ref])
                server.release()
                assert await handle.result() == text
                while await being_said(app.store, ref):  # noqa: ASYNC110  # it is in a store
                    await asyncio.sleep(0.02)

        ((step, attempt, at, heard),) = ((one.step, one.attempt, one.at, one.text) for one in said)
        assert (step.rpartition("/")[2], attempt, at) == ("turn", 1, 0)
        assert heard
        assert text.startswith(heard)

    # budgets -------------------------------------------------------------------------------------------------

    async def test_a_budget_stops_the_agent(self, app: App, world: World) -> None:
        """The turn that it does not hold is not asked for, whatever the framework makes of the error."""
        with ModelServer(Turns([asks("pay", n=1), asks("pay", n=2), says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("pay")))

            @app.agent("scene", budget=Budget(model_calls=2, on_limit="stop"))
            async def scene(run: Run, prompt: str) -> Any:
                return await self.ask(run, agent, prompt)

            trial = await kill_at(app, scene, "go", limit=LIMIT)
            turns = [r.turn for r in server.requests]

        assert trial.status is RunStatus.FAILED
        assert trial.error is not None
        assert "BudgetExceeded" in trial.error
        assert turns == [1, 2]
        assert world.paid == [1, 2]

    @pytest.mark.parametrize("where", ["tool", "agent in a tool"])
    async def test_the_end_of_a_budget_is_not_told_to_the_model(
        self, app: App, world: World, where: str
    ) -> None:
        """Not as a tool that failed, to be talked about: the run stops there, whatever frameworks make of errors."""
        outer, inner = "You are the actor.", "You are the expert."
        calls = call("expert", task="one") if where == "agent in a tool" else call("pay", n=1)
        script = Rules(
            [
                Rule(Reply(calls=(calls,)), system=outer, turn=1),
                Rule(asks("pay", n=7), system=outer, turn=2),
                Rule(asks("pay", n=7), system=inner, turn=1),
                Rule(says("paid it"), system=inner, turn=2),
                Rule(says("done"), system=outer),
            ]
        )
        limit = (
            Budget(model_calls=2, on_limit="stop")
            if "agent" in where
            else Budget(tool_calls=1, on_limit="stop")
        )
        with ModelServer(script) as server:
            expert = Part(server=server, name="expert", instructions=inner, tools=world.tools("pay"))
            helpers = {"expert": expert} if "agent" in where else {}
            agent = self.agent(
                Part(server=server, instructions=outer, tools=world.tools("pay"), helpers=helpers)
            )

            @app.agent("scene", budget=limit)
            async def scene(run: Run, prompt: str) -> Any:
                return await self.ask(run, agent, prompt)

            trials = await survives(app, scene, "go", limit=LIMIT)
            turns = len(server.requests)

        assert trials[0].status is RunStatus.FAILED
        assert trials[0].error is not None
        assert "BudgetExceeded" in trials[0].error
        assert turns >= 2
        assert all("budget" not in r.last.lower() for r in server.requests)
        assert trials[0].calls == {"pay": 1}

    # what the journal tells ----------------------------------------------------------------------------------

    async def test_each_turn_tells_what_it_used_and_decided(self, app: App, world: World) -> None:
        """Usage, cost and finish reason of the turn; the tools on offer and those that were chosen."""
        said = Reply(text="I had better look.", calls=(call("look", n=1),), tokens=(120, 30))
        with ModelServer(Turns([said, says("done")])) as server:
            agent = self.agent(Part(server=server, tools=world.tools("look", "pay")))

            trial = await kill_at(app, self.play(app, world, agent), "go", limit=LIMIT)

        results = [e for e in trial.entries if e.kind == Kind.RESULT]
        first, last = (pydantic_core.from_json(results[i].payload) for i in (0, -1))
        assert (first["usage"]["input_tokens"], first["usage"]["output_tokens"]) == (120, 30)
        assert last["finish_reason"] is not None
        charged = next(e for e in trial.entries if e.kind == Kind.CHARGED)
        assert pydantic_core.from_json(charged.payload)["usage"]["input_tokens"] == 120
        decision = next(e for e in trial.entries if e.kind == Kind.DECISION)
        told = pydantic_core.from_json(decision.payload)
        assert set(told["options"]) == {"look", "pay"}
        assert told["choice"] == ["look"]
        assert told["reason"] == "I had better look."


async def opened(app: App, run: Handle) -> Approval:
    """The question of the run, once it stands open."""
    while True:
        seen = app.store.changes()
        for approval in await app.store.approvals(ref=run.ref):
            return approval
        await app.store.changed(seen, within=1.0)


async def ended(app: App, run: Handle) -> None:
    """Return when the run has ended, however it did."""
    while not await app.store.ended([run.ref]):
        seen = app.store.changes()
        if await app.store.ended([run.ref]):
            return
        await app.store.changed(seen, within=1.0)
