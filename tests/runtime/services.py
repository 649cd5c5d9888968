"""A service that fails as told, and what tests of attempts look at in a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import App, Handle, Retry
from perdure.journal import Kind
from perdure.testing import SkippingClock

MINUTE = timedelta(minutes=1)
STEADY = Retry(attempts=4, first=MINUTE, most=MINUTE, total=None)


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    made = App(store_url, clock=SkippingClock() if store_url.startswith("sqlite") else None)
    async with made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


class Service:
    """Fails as often as it is told, then answers."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.asked = 0
        self.keys: list[str] = []

    def __call__(self, what: str = "") -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return f"answer {self.asked}"


async def told(run: Handle, kind: Kind) -> list[dict[str, Any]]:
    return [pydantic_core.from_json(e.payload) for e in await run.entries() if e.kind == kind]


async def kinds(run: Handle, step: str) -> list[str]:
    return [Kind(e.kind).name.lower() for e in await run.entries() if e.key == step]


# trying again ----------------------------------------------------------------------------------------------------
