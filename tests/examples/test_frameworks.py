"""The examples of other frameworks, against the scripted model server, with a worker that dies at every boundary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pydantic_core
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from examples.frameworks import pydantic_ai_bank_support as bank
from perdure import App, Handle
from perdure.journal import Kind
from perdure.testing import ModelServer, survives, until_waiting
from perdure.testing.model_server import Reply, Rule, Rules, call, gives, says


@asynccontextmanager
async def served(script: Any, *agents: Agent[Any, Any]) -> AsyncIterator[ModelServer]:
    """The agents ask a scripted server."""
    with ModelServer(script) as server:
        client = AsyncOpenAI(base_url=server.openai_url, api_key="scripted")
        model = OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=client))
        before = [agent.model for agent in agents]
        for agent in agents:
            agent.model = model
        try:
            yield server
        finally:
            for agent, its in zip(agents, before, strict=True):
                agent.model = its
            await client.close()


async def test_bank_support_blocks_a_card_once_and_only_when_somebody_lets_it() -> None:
    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals(run.id)
        digest = pydantic_core.from_json(asked.show)["digest"]
        await app.answer(run.id, asked.step, approved=True, by="boss", digest=digest)

    script = Rules(
        [
            Rule(Reply(calls=(call("balance", pending=True), call("block_card", reason="lost"))), turn=1),
            Rule(gives({"message": "It is blocked.", "risk": 42}), turn=2),
            Rule(gives({"message": "It is blocked.", "risk": 8}), turn=3),
        ]
    )
    async with served(script, bank.support_agent):
        trials = await survives(bank.app, bank.support, "I lost my card!", outside=boss, limit=60)

    assert trials[0].result == bank.Advice(message="It is blocked.", risk=8)
    assert trials[0].calls == {"balance": 1, "block_card": 1}


async def test_the_clinic_asks_two_specialists_at_once() -> None:
    both = Reply(calls=(call("ask_heart", question="well?"), call("ask_lungs", question="well?")))
    script = Rules(
        [
            Rule(both, system="sum up", turn=1),
            Rule(says("both well"), system="sum up", turn=2),
            Rule(says("the heart is well"), system="hearts"),
            Rule(says("the lungs are well"), system="lungs"),
        ]
    )
    async with served(script, bank.clinic_agent, bank.heart, bank.lungs):
        trials = await survives(bank.app, bank.clinic, "Am I well?", limit=60)

    assert trials[0].result == "both well"
    turns = [e.key for e in trials[0].entries if e.kind == Kind.RESULT and "turn" in e.key.rsplit("/")[-1]]
    assert sorted(key.rsplit("/", 2)[-2] for key in turns) == ["clinic", "clinic", "heart", "lungs"]
