"""`perdure cost`: every filter and every grouping, also of runs that were pruned."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from perdure import App, Run, RunFailed
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage

from .conftest import Answer, Cli

Perdure = Callable[..., Answer]


class Model:
    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text="yes", usage=Usage(input_tokens=100, output_tokens=50))


@pytest.fixture(autouse=True)
def runs(store_url: str) -> None:
    """Three runs: `a` asks twice, calls a tool with a fee and starts a child that asks once; `b` asks once, in vain."""
    app = App(store_url, prices={"models": {"fake:*": {"input": 1, "output": 10}}, "tools": {"look": "0.25"}})
    app.models.register("fake", Model())

    @app.tool(effect="read")
    def look() -> str:
        return "found"

    @app.agent("helper")
    async def helper(run: Run) -> str:
        return await run.model("fake:small", "go")

    @app.agent("asker")
    async def asker(run: Run) -> str:
        await run.model("fake:m", "go")
        await run.model("fake:m", "go on")
        await run.call(look)
        return await run.child(helper)

    @app.agent("loser")
    async def loser(run: Run) -> str:
        await run.model("other:m", "go")
        raise ValueError("no use")

    app.models.register("other", Model())

    async def work() -> None:
        async with app:
            a = await app.start(asker, run_id="a", labels={"team": "red"})
            await a.result()
            b = await app.start(loser, run_id="b")
            with pytest.raises(RunFailed):
                await b.result()
            await app.outcome("a", True, by="ada")

    asyncio.run(work())


@pytest.fixture
def perdure(store_url: str, cli: Cli) -> Perdure:
    """The command line on that store."""

    def said(*arguments: str, code: int = 0) -> Answer:
        answer = cli("--store", store_url, *arguments, bare=True)
        assert answer.code == code, answer
        return answer

    return said


TURN = 600_000
"""Nano-dollars: 100 tokens in at one dollar a million, 50 out at ten."""
FEE = 250_000_000


def dollars(nanos: int) -> str:
    return f"{nanos / 1e9:.9f}"


def summed(perdure: Perdure, *arguments: str) -> dict[str, str]:
    told = perdure("cost", "--json", *arguments).json
    return {row[told["by"]]: row["money"] for row in told["rows"]}


def test_it_is_grouped_by(perdure: Perdure) -> None:
    child = next(r["run"] for r in perdure("runs", "ls", "--json").json if r["agent"] == "helper")
    day = datetime.now(UTC)

    def by(what: str) -> dict[str, str]:
        return summed(perdure, "--by", what)

    mine, helpers = dollars(2 * TURN + FEE), dollars(TURN)
    assert by("agent") == {"asker": mine, "helper": helpers, "loser": dollars(0)}
    assert by("run") == {"a": mine, child: helpers, "b": dollars(0)}
    assert by("model") == {
        "": dollars(FEE),
        "fake:m": dollars(2 * TURN),
        "fake:small": helpers,
        "other:m": dollars(0),
    }
    assert by("tool") == {"look": dollars(FEE), "": dollars(3 * TURN)}
    assert by("tenant") == {"default": dollars(3 * TURN + FEE)}
    assert by("label:team") == {"red": dollars(3 * TURN + FEE), "": dollars(0)}
    assert by("outcome") == {"met": mine, "unknown": helpers}
    assert by("status") == {"succeeded": dollars(3 * TURN + FEE), "failed": dollars(0)}
    assert sum(float(money) for money in by("day").values()) == pytest.approx((3 * TURN + FEE) / 1e9)
    assert by("day").keys() <= {day.strftime("%Y-%m-%d"), datetime.now(UTC).strftime("%Y-%m-%d")}


def test_it_is_filtered_by(perdure: Perdure) -> None:
    def of(*filters: str) -> set[str]:
        return set(summed(perdure, *filters))

    assert of("--run", "a") == {"asker", "helper"}  # what it started costs, too
    assert of("--run", "b") == {"loser"}
    assert of("--run", "a", "--agent", "helper") == {"helper"}
    assert of("--agent", "asker") == {"asker"}
    assert of("--label", "team=red") == {"asker", "helper"}  # a child has its parent's labels
    assert of("--outcome", "met") == {"asker"}
    assert of("--outcome", "unknown") == {"helper", "loser"}
    assert of("--outcome", "not-met") == set()
    assert of("--status", "failed") == {"loser"}
    assert of("--since", "1h") == {"asker", "helper", "loser"}
    assert of("--until", "1h") == set()
    assert of("--since", "2001-01-01", "--until", "2002-01-01") == set()


def test_what_cannot_be_meant_is_refused(perdure: Perdure) -> None:
    for wrong, said in (
        (("--by", "colour"), "`--by colour`"),
        (("--outcome", "fine"), "outcome `fine`"),
        (("--status", "fine"), "status `fine`"),
        (("--since", "soon"), "`soon`"),
    ):
        answer = perdure("cost", *wrong, code=2)
        assert said in answer.stderr, answer
    assert "no run `nobody`" in perdure("cost", "--run", "nobody", code=4).stderr


def test_pruned_runs_are_counted_as_before(perdure: Perdure) -> None:
    before = perdure("cost", "--json", "--by", "run").json
    perdure("runs", "prune", "--older-than", "0.000001s", "--yes")
    assert perdure("runs", "show", "a", "--json").json["pruned_at"]

    after = perdure("cost", "--json", "--by", "run").json

    assert after == before
    assert after["taken_away"] == {"charges": 0, "runs": 0}
    assert after["total"]["money"] == dollars(3 * TURN + FEE)
    assert (after["total"]["runs"], after["total"]["unpriced"]) == (3, 1)


def test_as_csv_and_as_a_table(perdure: Perdure) -> None:
    rows = list(csv.DictReader(perdure("cost", "--csv", "--by", "model").stdout.splitlines()))
    assert [row["model"] for row in rows] == ["", "fake:m", "fake:small", "other:m"]
    assert (
        rows[1]["money"] == "0.001200000" and rows[1]["input_tokens"] == "200" and rows[3]["unpriced"] == "1"
    )
    table = perdure("cost", "--by", "model").stdout
    assert "(none)" in table and "in all" in table and "$0.25" in table
