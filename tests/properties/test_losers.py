"""The losers of a race, with every order in which what they wait for may come: they leave as they do on replay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.core.futures import Steady
from perdure.db.memory import MemoryStore
from perdure.journal import Append
from perdure.testing import SkippingClock
from tests.properties.programs import Node
from tests.properties.test_programs import once


class Late(MemoryStore):
    """A store that tells so many turns of the loop later that it has written, or what is revoked."""

    def __init__(self, clock: SkippingClock, *, commits: int = 0, looks: int = 0) -> None:
        super().__init__(clock)
        self._commits = commits
        self._looks = looks

    def append(self, append: Append) -> asyncio.Future[bool]:
        return _after(self._commits, super().append(append)) if self._commits else super().append(append)

    async def cells(self, *args: Any, **kwargs: Any) -> Any:
        for _ in range(self._looks):
            await asyncio.sleep(0)
        return await super().cells(*args, **kwargs)


def race(look: int, *losers: Node) -> Node:
    """Beside it a step ends first, so that the order in which the losers left is an argument of the step behind."""
    return (
        "seq",
        ("gather", ("first", ("look", look), ("gather", *losers)), ("step", 0, False)),
        ("step", 0, False),
    )


def _after(turns: int, commit: asyncio.Future[bool]) -> asyncio.Future[bool]:
    told: Steady[bool] = Steady()
    loop = asyncio.get_running_loop()

    def tell(left: int) -> None:
        if left:
            loop.call_soon(tell, left - 1)
        elif error := commit.exception():
            told.set_exception(error)
        else:
            told.set_result(commit.result())

    commit.add_done_callback(lambda _: tell(turns))
    return told


def play(program: Node, **late: int) -> None:
    asyncio.run(asyncio.wait_for(once(program, lambda clock: Late(clock, **late), []), 60))


@pytest.mark.parametrize("looks", [40, 100])
def test_one_that_waited_to_hear_whether_it_is_revoked(looks: int) -> None:
    play(race(4, ("write", 4, "plain"), ("timeout", 0.05)), looks=looks)


def test_one_whose_result_was_on_its_way_to_the_disk() -> None:
    for commits in range(20, 40):  # one of these comes in the very turn in which the race is lost
        play(race(0, ("write", 3, "plain"), ("timeout", 0.05)), commits=commits)
