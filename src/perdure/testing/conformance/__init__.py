"""What a database must do to be a store of Perdure, as a suite that any backend can run.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        async def store(self, clock: ManualClock) -> AsyncIterator[Store]:
            store = MyStore(clock=clock)
            await store.open()
            yield store
            await store.close()

Override `second` too where two processes can share the data. The suite needs pytest and pytest-asyncio; for readable
failures call `pytest.register_assert_rewrite("perdure.testing.conformance")` in a `conftest.py`. Time is a
`ManualClock`, and nothing sleeps.

What is tested, by file:

- `runs`: a run is accepted once; records; lists by each filter and by pages; tenants do not see each other; keys.
- `journal`: entries come back as they were written, whatever the bytes and however many; appends are fenced by epoch
  and head, in order, and one that is refused hurts no other; what is queued is written on close; news is told.
- `inbox`: order, idempotence, waking; the release guard in both orders; messages that travel with an append;
  approvals.
- `claims`: which runs are claimed, in which order, by whom; quarantine, seizing; the moves between states.
- `fleet`: fair claims, priorities, limits, needs; who is there, and what waits for nobody.
- `history`: runs that begin again; when a run ended.
- `sessions`: leases, recovery and its counters; runs that are handed over to a process of their own.
- `schedules`: rows changed by compare-and-set, runs accepted with them; which sessions declare them.
- `audit`: heads that moved become leaves, once, whoever integrates; checkpoints that stay.
- `projections`: what was folded is written once, whoever folds; runs with their figures, by pages.
- `memory`: sessions of the memory layer: written once, in order, compared and set; what is over, what is summed up.
- `working`: working memory: added once, found by words and by meaning, by nobody else, not once it was forgotten.
- `cells`: amended by many at once, with an append or a new run; what is due; what is added behind a run's end.

`KnowledgeConformance` is for whatever keeps knowledge, a store that has a `ledger` or another backend: facts that are
dated and never overwritten, entities that are found, merged and made two again.
"""

from .audit import AuditConformance
from .cells import CellConformance
from .claims import ClaimConformance
from .fleet import FleetConformance
from .history import HistoryConformance
from .inbox import InboxConformance
from .journal import JournalConformance
from .knowledge import KnowledgeConformance
from .memory import MemoryConformance
from .projections import ProjectionConformance
from .runs import RunConformance
from .schedules import ScheduleConformance
from .sessions import SessionConformance
from .working import WorkingConformance

__all__ = [
    "AuditConformance",
    "CellConformance",
    "ClaimConformance",
    "FleetConformance",
    "HistoryConformance",
    "InboxConformance",
    "JournalConformance",
    "KnowledgeConformance",
    "MemoryConformance",
    "ProjectionConformance",
    "RunConformance",
    "ScheduleConformance",
    "SessionConformance",
    "StoreConformance",
    "WorkingConformance",
]


class StoreConformance(
    RunConformance,
    JournalConformance,
    InboxConformance,
    ClaimConformance,
    FleetConformance,
    HistoryConformance,
    SessionConformance,
    ScheduleConformance,
    CellConformance,
    AuditConformance,
    ProjectionConformance,
    MemoryConformance,
    WorkingConformance,
):
    """The whole suite. Override the fixture `store`, and `second` where several processes can share the data."""
