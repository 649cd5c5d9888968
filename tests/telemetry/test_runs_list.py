"""The list of runs with their figures."""

from __future__ import annotations

from perdure import App, Run
from perdure.journal import RunStatus
from perdure.views.runs import RunsQuery, runs_page


async def test_pages_go_on_from_each_other() -> None:
    app = App("memory://")

    @app.agent("order")
    async def order(run: Run, number: int) -> int:
        return number

    await app.open()
    for number in range(5):
        await app.start(order, number, run_id=f"o{number}")
    first = await runs_page(app.store, RunsQuery(tenant=app.tenant, limit=3))
    assert [row.ref.id for row in first.rows] == ["o4", "o3", "o2"]
    assert first.next == first.rows[-1].ref
    rest = await runs_page(app.store, RunsQuery(tenant=app.tenant, limit=3, before=first.next))
    assert [row.ref.id for row in rest.rows] == ["o1", "o0"] and rest.next is None
    assert {row.status for row in rest.rows} == {RunStatus.PENDING}
    await app.close()
