"""Which turn of a model a fault strikes, where a worker has died meanwhile."""

from __future__ import annotations

import pytest

from perdure import App, Run
from perdure.testing import model_server
from perdure.testing.torture import torture
from tests.runtime import conversations

HERE = conversations.Answers(conversations.asks(("note", {"text": "a lamp"})), conversations.says("noted"))
SERVED = model_server.Turns([model_server.asks("note", text="a lamp"), model_server.says("noted")])


def desk(model: str) -> tuple[App, list[str]]:
    app = App("memory://")
    noted: list[str] = []

    @app.tool(effect="write")
    def note(text: str) -> str:
        noted.append(text)
        return "done"

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.model(model, "go", tools=[note])

    return app, noted


@pytest.mark.parametrize("served", [False, True])
async def test_a_fault_is_of_one_turn_however_often_that_is_asked(served: bool) -> None:
    app, noted = desk("openai-chat:gpt-5" if served else "fake:m")
    if served:
        pytest.importorskip("pydantic_ai", reason='needs pydantic-ai: pip install "perdure[models]"')
    else:
        app.models.register("fake", HERE)
    schedule = "kill before result model/turn; model permanent #2"

    report = await torture(
        app, "desk", setup=noted.clear, observe=noted.copy, schedules=[schedule],
        models=SERVED if served else None,
    )  # fmt: skip

    # The first turn is asked for twice. Did that count, its second time would be struck, and nothing noted.
    assert report.ok, str(report)
    assert report.rows[-1].reached
    assert report.rows[-1].ending == "failed"
    assert noted == ["a lamp"]
