"""The fixture `torture`: in coroutine tests and in others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.torture import bad_agents as scene


async def test_an_agent_that_survives_passes(torture: Any) -> None:
    report = await torture(scene.app, scene.small, "book", faults=["worker"], setup=scene.clear)
    assert [count.kind for count in report.counts()] == ["none", "worker"]


async def test_one_that_does_not_fails_with_the_report(torture: Any) -> None:
    with pytest.raises(
        AssertionError, match=r"with violations\n  world: .* with `kill before result charge`"
    ):
        await torture(
            scene.app, "lies", "book", setup=scene.clear, observe=scene.seen,
            schedules=["two workers", "kill before result charge"],
        )  # fmt: skip


def test_without_a_loop_and_without_the_app(torture: Any) -> None:
    report = torture(scene.small, "book", faults=["worker"], setup=scene.clear)
    assert len(report.rows) == 2
