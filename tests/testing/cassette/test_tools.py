"""Tools at the boundary: their calls are in the cassette, and are answered from it without being carried out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import App, EffectKey, Run, RunFailed, declare
from perdure.testing import Cassette, ModelServer, Recorder, SkippingClock, Turns
from perdure.testing.model_server import asks, gives, says
from perdure.testing.torture import say_yes, torture

done: list[str] = []
"""what was carried out"""


class Busy(ConnectionError):
    """For a moment."""


def shop() -> App:
    app = App("memory://", clock=SkippingClock())
    stock = itertools.count(7)

    @app.tool(effect="read")
    async def price(item: str) -> dict[str, Any]:
        done.append(f"price of {item}")
        return {"amount": 40, "api_key": "canary-of-a-tool"}

    @app.tool(effect="read")
    def in_stock(item: str) -> int:
        done.append(f"stock of {item}")
        return next(stock)

    @app.tool(effect="write", verify=lambda item, key: None)
    async def pay(item: str, key: EffectKey) -> str:
        done.append(f"paid {item}")
        return f"receipt {len(done)}"

    @app.tool(effect="read")
    async def away(item: str) -> str:
        done.append("away")
        raise ValueError(f"no {item} anywhere")

    @app.agent("shop")
    async def shop(run: Run, item: str) -> list[Any]:
        answer = await run.model("anthropic:claude-opus-4-8", f"Price of {item}?", tools=[price], output=int)
        stocks = [await run.call(in_stock, item) for _ in range(2)]
        try:
            await run.call(away, item)
            missing = ""
        except Exception as error:
            missing = str(error)
        return [answer, stocks, await run.call(pay, item), "nowhere" if "anywhere" in missing else missing]

    return app


ANSWERS = Turns([asks("price", item="lamp"), gives({"answer": 40})])
LIVE = [40, [7, 8], "receipt 5", "nowhere"]


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


async def once(app: App, item: str = "lamp") -> Any:
    async with app:
        return await (await app.start("shop", item)).result()


@pytest.fixture
async def cassette(tmp_path: Path) -> Cassette:
    """Of one run that was real, as far as the test has it."""
    path = tmp_path / "shop.json"
    with ModelServer(ANSWERS) as provider:
        app = shop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANTHROPIC_API_KEY", "canary-of-the-model")
            with Recorder(path, upstreams={"anthropic": provider.url}, app=app):
                assert await once(app) == LIVE
        assert provider.count(protocol="anthropic") == 2
    assert "canary" not in path.read_text()
    done.clear()
    return Cassette(path)


async def test_a_run_is_the_same_and_does_nothing(
    cassette: Cassette, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [(c.tool, c.result) for c in cassette.tools if c.tool in ("in_stock", "pay")] == [
        ("in_stock", 7), ("in_stock", 8), ("pay", "receipt 5"),
    ]  # fmt: skip
    app = shop()
    with ModelServer(cassette) as server, cassette.playing(app):
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        assert await once(app) == LIVE
        assert done == []
    assert app.tools["price"].function.__name__ == "price"
    assert await app.tools["price"].function(item="x") and done == ["price of x"], (
        "and the tools are themselves again"
    )


async def test_a_call_that_was_not_recorded_is_told(cassette: Cassette) -> None:
    app = App("memory://", clock=SkippingClock())

    @app.tool(effect="read")
    async def price(item: str) -> int:
        return 1

    @app.tool(effect="read")
    async def unheard_of() -> str:
        return "carried out"

    @app.agent("shop")
    async def other(run: Run, item: str) -> str:
        assert await run.call(unheard_of) == "carried out"
        return str(await run.call(price, item))

    with cassette.playing(app), pytest.raises(RunFailed) as failed:
        await once(app, "lump")

    assert f'cassette `{cassette.path}` has no call of tool `price` with `{{"item": "lump"}}`' in str(
        failed.value
    )
    assert 'but with {"item": "lamp"}' in str(failed.value)


async def test_a_failure_that_was_overcome_is_not_played(tmp_path: Path) -> None:
    tries = itertools.count(1)
    app = App("memory://", clock=SkippingClock())

    @app.tool(effect="read")
    async def fetch(item: str) -> str:
        if next(tries) < 3:
            raise Busy("try again")
        return "there"

    @app.agent("shop")
    async def shop(run: Run, item: str) -> str:
        return str(await run.call(fetch, item))

    with Recorder(tmp_path / "c.json", app=app):
        assert await once(app) == "there"
    told = json.loads((tmp_path / "c.json").read_text())["tools"]
    assert [one.get("error") for one in told] == ["Busy: try again", "Busy: try again", None]

    app.use_store("memory://")
    with Cassette(tmp_path / "c.json").playing(app):
        assert await once(app) == "there"
    assert next(tries) == 4


async def test_tools_of_a_wrapped_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")

    @declare("read")
    async def look(place: str) -> str:
        done.append(place)
        return f"{place} is fine"

    def made(app: App) -> None:
        agent = pydantic_ai.Agent("openai:gpt-5", tools=[look])

        @app.agent("shop")
        async def shop(run: Run, item: str) -> str:
            async with agent:  # it closes its client
                return (await run.wrap(agent)(f"How is {item}?")).output

    path = tmp_path / "c.json"
    monkeypatch.setenv("OPENAI_API_KEY", "none-at-all")
    with ModelServer(Turns([asks("look", place="Rome"), says("fine")])) as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
        app = App("memory://", clock=SkippingClock())
        with Recorder(
            path, app=app
        ):  # the agent makes its client when it is made, and looks for its address then
            made(app)
            assert await once(app) == "fine"
    assert done == ["Rome"]
    with ModelServer(path) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        app = App("memory://", clock=SkippingClock())
        made(app)
        with Cassette(path).playing(app):
            assert await once(app) == "fine"
    assert done == ["Rome"]


async def test_the_torture_chamber_plays_a_cassette(cassette: Cassette) -> None:
    app = shop()
    report = await torture(
        app,
        "shop",
        "lamp",
        models=str(cassette.path),
        outside=say_yes,
        observe=done.copy,
        schedules=[
            "kill before result in_stock:2", "kill after result pay; kill before entry #1", "model overloaded",
            "model cut_off #2", "model bad_arguments", "tool price transient", "kill before result price",
        ],
    )  # fmt: skip

    assert report.ok, str(report)
    assert all(row.reached for row in report.rows if "price" not in str(row.schedule)), report.rows
    assert done == [], "tools are played"
