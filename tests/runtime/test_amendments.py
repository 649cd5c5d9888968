"""A run that writes cells with its entries: what an amendment raises is the step's affair, and the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from perdure import App, Run, verify_chain
from perdure.journal import Amendment, Cell, CellKey, Change, Kind

KEY = CellKey("default", "budget", "desk")


class TooMuch(Exception):
    pass


def spend(amount: int) -> Amendment:
    def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        left = int(there[KEY].data) if KEY in there else 5
        if amount > left:
            raise TooMuch(f"{amount} of {left}")
        return {KEY: Cell(str(left - amount).encode())}, left - amount

    return Amendment([KEY], change)


async def reserve(run: Run, amount: int) -> int | None:
    """As the boundary will: an entry and a change of a cell, both or none."""
    recorder = run._recorder  # pyright: ignore[reportPrivateUsage]  # what stands behind the face is tested
    amendment = spend(amount)
    written = recorder.write(Kind.RESERVED, "", f"{amount}".encode(), change=Change(amendments=[amendment]))
    try:
        await recorder.committed(written)
    except TooMuch:
        return None
    return amendment.result


@pytest.mark.parametrize("durability", ["pipelined", "step"])
async def test_a_run_goes_on_behind_an_append_whose_amendment_raised(
    store_url: str, durability: Literal["pipelined", "step"]
) -> None:
    app = App(store_url, durability=durability)

    @app.agent("spender")
    async def spender(run: Run) -> list[int | None]:
        left: list[int | None] = []
        for amount in (2, 7, 3, 1):
            await run.step("work", lambda: 1)
            left.append(await reserve(run, amount))
        await run.step("rest", lambda: 1)
        return left

    async with app:
        handle = await app.start("spender", run_id="r")
        assert await handle.result() == [3, None, 0, None]
        entries = await handle.entries()
        record = await handle.record()
        assert verify_chain(handle.ref, entries) == (record.head, record.head_hash)
        assert [e.payload for e in entries if e.kind == Kind.RESERVED] == [b"2", b"3"]
        assert [e.kind for e in entries].count(Kind.CLAIMED) == 1, "it was not done over"
        assert await app.store.cells("budget") == [(KEY, Cell(b"0"))]


async def test_a_barrier_of_one_branch_does_not_raise_what_another_s_amendment_raised(store_url: str) -> None:
    app = App(store_url)

    @app.agent("spender")
    async def spender(run: Run) -> str:
        recorder = run._recorder  # pyright: ignore[reportPrivateUsage]  # as above
        written = recorder.write(Kind.RESERVED, "", b"9", change=Change(amendments=[spend(9)]))
        await recorder.barrier()
        with pytest.raises(TooMuch):
            await recorder.committed(written)
        return await run.step("work", lambda: "done")

    async with app:
        handle = await app.start("spender", run_id="r")
        assert await handle.result() == "done"
