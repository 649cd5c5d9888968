"""Who stands in for a tool that fails: another one, the cache, a degraded answer; and who is turned away."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pydantic_core

from perdure import (
    App,
    Breaker,
    Cache,
    Cached,
    Instead,
    Retry,
    Run,
)
from perdure.journal import Kind
from perdure.testing import SkippingClock
from tests.runtime.services import MINUTE, Service, app, quick, told

__all__ = ["app", "quick"]  # fixtures


async def test_another_tool_stands_in_and_the_result_says_so(app: App) -> None:
    service = Service(ValueError("broken"))

    def other(what: str) -> str:
        return f"other {what}"

    @app.tool(effect="read", fallback=other)
    def look(what: str) -> str:
        return service(what)

    @app.agent("looker")
    async def looker(run: Run) -> list[Any]:
        called = await run.called(look, "x")
        return [called.value, called.source, called.by, called.because != ""]

    run = await app.start(looker)
    assert await run.result() == ["other x", "fallback", "other", True]
    (attempt,) = await told(run, Kind.ATTEMPT)
    assert attempt["then"] == {"way": 1, "name": "other"}


async def test_if_every_way_fails_the_first_failure_is_raised_where_the_others_had_nothing(
    quick: App,
) -> None:
    service = Service(ValueError("broken"))

    @quick.tool(effect="read", fallback=[Cached(MINUTE)])
    def look(what: str) -> str:
        return service(what)

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        try:
            return await run.call(look, "x")
        except ValueError as error:
            return f"caught {error}"

    run = await quick.start(looker)
    assert await run.result() == "caught broken"


async def test_a_degraded_answer_is_the_last_way(quick: App) -> None:
    service = Service(ValueError("broken"))

    @quick.tool(effect="read", fallback=[Cached(MINUTE), Instead(lambda what: f"unknown {what}")])
    def look(what: str) -> str:
        return service(what)

    @quick.agent("looker")
    async def looker(run: Run) -> list[str]:
        called = await run.called(look, "x")
        return [called.value, called.source]

    run = await quick.start(looker)
    assert await run.result() == ["unknown x", "fallback"]


async def test_fresh_results_come_from_the_cache_and_stale_ones_only_when_the_tool_fails(app: App) -> None:
    service = Service()

    @app.tool(effect="read", cache=Cache(MINUTE, stale_if_error=timedelta(hours=1)))
    def price(of: str) -> str:
        return service(of)

    @app.agent("shop")
    async def shop(run: Run, of: str) -> list[Any]:
        called = await run.called(price, of)
        return [called.value, called.source]

    assert await (await app.start(shop, "tea")).result() == ["answer 1", "live"]
    assert await (await app.start(shop, "tea")).result() == ["answer 1", "cache"]
    assert await (await app.start(shop, "ham")).result() == ["answer 2", "live"]  # other arguments
    assert await (await app.start(shop, "tea", tenant="other")).result() == ["answer 3", "live"]
    if isinstance(app.clock, SkippingClock):
        app.clock.advance(120)
        service.failures = [ValueError("down"), ValueError("down")]
        run = await app.start(shop, "tea")
        assert await run.result() == ["answer 1", "cache"]
        assert service.asked == 4
        ended = pydantic_core.from_json((await run.entries())[-1].payload)
        assert [d["source"] for d in ended["degraded"]] == ["cache"]


# crashes ---------------------------------------------------------------------------------------------------------


async def test_a_run_over_the_rate_waits_as_a_row_and_keeps_its_place(quick: App) -> None:
    at: list[int] = []

    @quick.tool(effect="read", rate="1/min")
    def look(n: int) -> int:
        at.append(quick.clock.micros())
        return n

    @quick.agent("looker")
    async def looker(run: Run) -> list[int]:
        return [await run.call(look, n) for n in range(3)]

    run = await quick.start(looker)
    assert await run.result() == [0, 1, 2]
    assert [round((b - a) / 6e7) for a, b in itertools.pairwise(at)] == [1, 1]
    assert [s["reasons"] for s in await told(run, Kind.SUSPENDED)] == [["rate_limit"]] * 2
    assert [v["stage"] for v in await told(run, Kind.VERDICT)] == ["rate"] * 2


async def test_an_open_breaker_turns_calls_away_until_a_probe_succeeds(quick: App) -> None:
    service = Service(*(ConnectionResetError(str(n)) for n in range(3)))
    policy = Breaker(failures=3, within=MINUTE, open_for=MINUTE)

    @quick.tool(
        effect="read", breaker=policy, retry=Retry(attempts=8, first=timedelta(milliseconds=1), total=None)
    )
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look)

    run = await quick.start(looker)
    assert await run.result() == "answer 4"
    attempts = await told(run, Kind.ATTEMPT)
    assert [a["error"]["type"].rpartition(":")[2] for a in attempts] == ["ConnectionResetError"] * 3 + [
        "CircuitOpen"
    ]
    assert attempts[-1]["wait"] > 50  # no call goes out meanwhile
    assert ["retry"] in [s["reasons"] for s in await told(run, Kind.SUSPENDED)]


async def test_while_a_breaker_is_open_the_fallback_answers(app: App) -> None:
    service = Service(*(ConnectionResetError(str(n)) for n in range(9)))

    @app.tool(
        effect="read",
        breaker=Breaker(failures=2),
        retry=Retry(attempts=2, first=timedelta()),
        fallback=Instead("none"),
    )
    def look() -> str:
        return service()

    @app.agent("looker")
    async def looker(run: Run) -> list[str]:
        return [(await run.called(look)).source for _ in range(3)]

    run = await app.start(looker)
    assert await run.result() == ["fallback"] * 3
    assert service.asked == 2
