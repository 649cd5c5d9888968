"""The soak, in short: so that it never rots, and (F6) with a database that crashes again and again."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.places import NamedServer, Place, PostgresPlace, PostgresServer, small_disk
from tests.soak.chaos import Report, Soak, soak

MEGABYTES = 64


def check(report: Report) -> None:
    assert not report.problems, "\n".join(report.problems)
    assert report.found.counts["runs succeeded"] > 5


@pytest.mark.soak
@pytest.mark.soak_on("postgres")
async def test_nothing_is_lost_or_doubled_in_chaos(place: Place, tmp_path: Path) -> None:
    if isinstance(place, PostgresPlace) and isinstance(place.server, NamedServer):
        pytest.skip("PERDURE_TEST_POSTGRES names the server: it is not crashed")
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(MEGABYTES))
        except OSError:
            disk = None
        report = await soak(Soak(place, tmp_path, seconds=8, disk=disk, pause=(0.1, 0.8)))
    check(report)
    assert report.acts["kill"] or report.acts["stop"]


@pytest.mark.soak
async def test_a_database_that_crashes_again_and_again_loses_and_doubles_nothing(
    postgres: PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    if isinstance(postgres, NamedServer):
        pytest.skip("PERDURE_TEST_POSTGRES names the server: it is not crashed")
    place = PostgresPlace(postgres, postgres_template)
    report = await soak(Soak(place, tmp_path, seconds=6, actions=("crash",), pause=(0.0, 0.5)))
    check(report)
    assert report.acts["crash"] > 3
