from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.processes import Nursery, Site


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    async with Nursery() as made:
        yield made


@pytest.fixture
async def site(tmp_path: Path, store_url: str, nursery: Nursery) -> AsyncIterator[Site]:
    """A store of each kind in turn, and a place where worker processes are born."""
    async with Site(tmp_path, nursery, url=store_url) as made:
        yield made
