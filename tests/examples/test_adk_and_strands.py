"""The examples of Google's ADK and of Strands, against a provider on loopback, under the faults of the chamber."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

pytest.importorskip("google.adk", reason='pip install "perdure[google-adk]"')
pytest.importorskip("strands", reason='pip install "perdure[strands]"')

from examples.frameworks import google_adk_customer_service as garden
from examples.frameworks import strands_travel_desk as travel
from perdure.testing import Rule, Rules
from perdure.testing.model_server import Reply, asks, call, says
from perdure.testing.torture import Report, Scenario, say_yes, torture

FEW: dict[str, Any] = {"random": 4, "seed": 5}
"""Schedules of up to four faults; every boundary takes minutes: below, under `soak`."""


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GOOGLE_GENAI_USE_VERTEXAI is deprecated")
        yield


# the garden shop, in the ADK -----------------------------------------------------------------------------------------

GARDEN = Rules(
    [
        Rule(says("Ferns need shade."), system="in one sentence what the plant needs"),
        Rule(asks("plan_planting", day="Monday"), system="Agree on a day", results=0),
        Rule(says("The gardener comes on Monday."), system="Agree on a day"),
        Rule(
            Reply(calls=(call("find_plants", wish="a fern"), call("botanist", request="a fern?"))), results=0
        ),
        Rule(asks("put_into_cart", plant="fern", count=2), results=2),
        Rule(asks("grant_discount", percent=50), results=3),
        Rule(asks("transfer_to_agent", agent_name="planting")),
    ]
)


SEEN: list[list[Any]] = []
"""What was to be seen of the garden after each run; the first of them was left alone."""


def seen() -> list[Any]:
    SEEN.append([list(garden.PLANTED), list(garden.DISCOUNTS)])
    return SEEN[-1]


def empty_garden() -> None:
    garden.PLANTED.clear()
    garden.DISCOUNTS.clear()


ASKED = "desk/turn:3.grant_discount/grant_discount"
BOSS = Scenario.model_validate({"answers": [{"step": ASKED, "by": "boss", "arguments": {"percent": 5}}]})
"""Grants less than was wanted."""


async def tortured_garden(**options: Any) -> Report:
    return await torture(
        garden.app, garden.garden, "a fern, planted", outside=BOSS.options(garden.app)["outside"], setup=empty_garden,
        observe=seen, models=GARDEN, **options,
    )  # fmt: skip


async def test_a_garden_is_planted_once_and_at_the_boss_s_price() -> None:
    SEEN.clear()
    report = await tortured_garden(**FEW)

    assert report.ok, str(report)
    assert SEEN[0] == [["Monday: fern"], [5]]


# the travel desk, in Strands -----------------------------------------------------------------------------------------

TRAVEL = Rules(
    [
        Rule(says("An identity card."), system="which papers are needed"),
        Rule(
            Reply(
                calls=(
                    call("find_trips", to="Oslo"),
                    call("weather", city="Oslo"),
                    call("visas", input="Oslo?"),
                )
            ),
            results=0,
        ),
        Rule(asks("book", trip="OSL-1", price=120), results=3),
        Rule(asks("Plan", summary="By train to Oslo", cost=120), when="Write it down"),
        Rule(says("You go by train.")),
    ]
)


async def tortured_desk(**options: Any) -> Report:
    return await torture(
        travel.app, travel.travel, "to Oslo", outside=say_yes, setup=travel.BOOKED.clear,
        observe=lambda: list(travel.BOOKED), models=TRAVEL, **options,
    )  # fmt: skip


async def test_a_journey_is_booked_once() -> None:
    report = await tortured_desk(**FEW)

    assert report.ok, str(report)


# every boundary of both ----------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("tortured", [tortured_garden, tortured_desk])
async def test_every_boundary(tortured: Any) -> None:
    report = await tortured()

    assert report.ok, str(report)
