"""The supervisor in LangGraph, with its worker killed at every boundary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from examples.frameworks import langgraph_supervisor as example
from perdure import App, Handle
from perdure.testing import ModelServer, survives, until_waiting
from perdure.testing.model_server import Reply, Rule, Rules, call, says


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    both = Reply(calls=(call("figures", topic="trade"), call("quotes", topic="trade")))
    script = Rules(
        [
            Rule(says("trade, weather"), when="Name the topics"),
            Rule(says("trade is well"), when="Research trade"),
            Rule(says("it rains"), when="Research weather"),
            Rule(both, system="You write reports", turn=1),
            Rule(says("A report."), system="You write reports", turn=2),
        ]
    )
    with ModelServer(script) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.soak
async def test_it_is_published_once_whenever_its_worker_dies(model: ModelServer) -> None:
    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        (question,) = await app.open_approvals(run.id)
        assert question.question == "May this be published?"
        await app.answer(run.id, question.step, approved=True, by="boss")

    trials = await survives(
        example.app, example.report, "Utopia", setup=example.PUBLISHED.clear, outside=boss, limit=90
    )
    assert trials[0].result == {"text": "A report.", "published": True}
    assert len(trials) > 30
    keys: set[Any] = {e.key for e in trials[0].entries}
    assert {"supervisor/2.look.0/1.think/turn", "supervisor/2.look.1/1.think/turn"} <= keys
