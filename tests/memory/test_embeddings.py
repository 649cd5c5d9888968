"""Embeddings in runs: asked for at a real server across the boundary, priced, recorded, and never asked for twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic_core
import pytest

from perdure import App, Kind, Run, RunStatus
from perdure.app.handle import Handle
from perdure.memory.working import Query, Space, packed
from perdure.runtime.conversation.embedding import Embeddings
from perdure.runtime.conversation.messages import Usage
from perdure.testing import ModelServer, survives

NOTES = Space("default", None, None, "notes")


class Letters:
    """A model of the program's own: how often a text has each letter."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], bool]] = []
        self.broken = False

    async def embed(self, model: str, texts: Sequence[str], *, query: bool, timeout: float) -> Embeddings:
        self.asked.append((list(texts), query))
        vectors = [[float(text.count(chr(97 + i))) for i in range(26)] for text in texts]
        return Embeddings(vectors=vectors[1:] if self.broken else vectors, usage=Usage(input_tokens=7))


def desk(model: str | None, url: str = "memory://", **more: Any) -> App:
    app = App(url, memory={"embeddings": model} if model else {}, **more)

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        notes = run.working("notes")
        await notes.add("the kettle is in the kitchen")
        await notes.add("refunds take five days")
        return [[f.text, list(f.by)] for f in await notes.search("kettles", k=1)]

    @app.agent("waits")
    async def waits(run: Run) -> list[Any]:
        found = await agent(run)
        await run.receive("go", bool)
        return found

    return app


async def waiting(app: App) -> Handle:
    run = await app.start("waits")
    while await run.status() is not RunStatus.WAITING:
        await app.store.changed(app.store.changes(), within=1)
    return run


async def goes_on(app: App, run: Handle) -> Any:
    """What the run comes to, woken by another process."""
    handle = await app.handle(run.id)
    await handle.signal("go", True)
    return await handle.result()


EXPECTED = [["the kettle is in the kitchen", ["words", "meaning"]]]


@pytest.mark.parametrize("model", ["openai:text-embedding-3-small", "google:gemini-embedding-001"])
async def test_any_provider_is_asked_across_the_boundary(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again as a model is; its tokens are counted, priced and recorded."""
    pytest.importorskip("pydantic_ai", reason='no pydantic-ai: `pip install "perdure[models]"`')
    async with ModelServer([]) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        server.embedding_errors = [503]
        async with desk(model, prices={"models": {"*": {"input": 2, "output": 0}}}) as app:
            run = await app.start("desk")
            assert await run.result() == EXPECTED
            entries = await run.entries()

    asked = [request.texts for request in server.embedded]
    assert asked[0] == asked[1] == ("the kettle is in the kitchen",)
    assert asked[2:] == [("refunds take five days",), ("kettles",)]
    results = [e.key for e in entries if e.kind == Kind.RESULT]
    assert results[:2] == ["working_add/embed", "working_add"] and results[-1] == "working_search"
    charged = [pydantic_core.from_json(e.payload) for e in entries if e.kind == Kind.CHARGED]
    assert [c["name"] for c in charged if c["what"] == "model"][:1] == [model]
    if model.startswith("openai"):
        assert [c["usage"]["input_tokens"] for c in charged] == [6, 4, 1]
        assert [c["amount"]["money"] for c in charged] == [12_000, 8_000, 2_000]


async def test_nobody_is_asked_twice_whoever_is_killed() -> None:
    app, letters = desk("letters:26"), Letters()
    app.models.register("letters", letters)

    trials = await survives(app, "desk")

    assert trials[0].result == EXPECTED and len(trials) > 20


async def test_replay_asks_no_model_whatever_the_setting_is_by_then(tmp_path: Path) -> None:
    """What was recorded without vectors is replayed without them, and what was with them with them."""
    url, letters = f"sqlite:///{tmp_path / 'test.db'}", Letters()
    async with desk(None, url) as app:
        plain = await waiting(app)
    async with desk("letters:26", url) as app:
        app.models.register("letters", letters)
        assert await goes_on(app, plain) == [["the kettle is in the kitchen", ["words"]]]
        assert letters.asked == []
        meant = await waiting(app)
        assert letters.asked[-1] == (["kettles"], True)
        by_meaning = Query(vector=packed([float(i == 10) for i in range(26)]), model="letters:26", k=9)
        assert len(await app.memory.working.search(NOTES, by_meaning)) == 2  # of four texts
    async with desk(None, url) as app:
        assert await goes_on(app, meant) == EXPECTED


async def test_an_answer_that_is_none_fails_the_step() -> None:
    app, letters = desk("letters:26"), Letters()
    letters.broken = True
    app.models.register("letters", letters)
    async with app:
        run = await app.start("desk")
        with pytest.raises(Exception, match="gave 0 vectors for 1 texts"):
            await run.result()


async def test_a_model_that_cannot_be_had_says_what_to_write() -> None:
    for model, words in (
        ("letters", "does not name a model"),
        ("scripted:x", "makes no embeddings"),
        ("wordllama:7", "there is no model"),
    ):
        async with desk(model) as app:
            run = await app.start("desk")
            with pytest.raises(Exception, match=words):
                await run.result()


async def test_a_small_model_reckons_here_and_knows_what_words_mean() -> None:
    pytest.importorskip("wordllama", reason='no wordllama: `pip install "perdure[embeddings]"`')
    app = App("memory://", memory={"embeddings": "wordllama:256"})

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        notes = run.working()
        await notes.add("Customers get their money back within five days.")
        await notes.add("The kettle is in the kitchen.")
        return [[f.text, list(f.by)] for f in await notes.search("reimbursement of a purchase", k=1)]

    async with app:
        run = await app.start("desk")
        assert await run.result() == [["Customers get their money back within five days.", ["meaning"]]]
        assert not [e for e in await run.entries() if e.kind == Kind.CHARGED]
