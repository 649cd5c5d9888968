"""What of a batch may be written first, all together: only jobs of one run keep their order."""

from perdure.core.ids import RunRef
from perdure.db.group_commit import Call, hoisted
from perdure.journal import Append, Change, Kind, genesis, seal


def append(rid: int, head: int, *, epoch: int = 1, change: Change | None = None) -> Append:
    entry = seal(genesis(RunRef("t", "r")), Kind.RESULT, head + 1, epoch, 0, 0, "s", "w", b"", b"1")
    return Append(rid, epoch, head, (entry,), 1, change)


def test_appends_of_other_runs_are_hoisted_over_anything() -> None:
    call, release = Call[None](lambda _: None), append(1, 5, change=Change(drained=1))
    one, two = append(2, 7), append(3, 9)

    assert hoisted([call, one, release, two]) == ([one, two], [call, release])


def test_appends_of_a_run_share_a_fence_where_they_go_on_from_each_other() -> None:
    batch = [append(1, 5), append(2, 7), append(1, 6)]

    assert hoisted(batch) == (batch, [])


def test_an_append_stays_behind_a_change_of_its_run() -> None:
    before, change, after = append(1, 5), append(1, 6, change=Change(drained=1)), append(1, 7)

    assert hoisted([before, change, after]) == ([before], [change, after])


def test_what_does_not_go_on_is_left_to_the_store_and_so_is_what_follows() -> None:
    good, stale, later = append(1, 5), append(1, 5, epoch=0), append(1, 6)

    assert hoisted([good, stale, later]) == ([good], [stale, later])
