"""What is done to a run that is there: paused, resumed, cancelled, settled, tried again, forked."""

from __future__ import annotations

from tests.api.desk import as_, asked, desk, ended, until


async def test_a_paused_run_stands_until_it_is_resumed() -> None:
    app = desk()
    async with asked(app) as client:  # no worker yet: the pause is there before the first step
        run = (await client.post("/runs", json={"agent": "order", "input": {"item": "tea"}})).json()["run"]
        paused = await client.post(f"/runs/{run}/pause")
        worker = app.new_worker()
        import asyncio

        driving = asyncio.create_task(worker.run())
        row = await until(client, run, lambda row: row["status"] == "waiting")
        resumed = await client.post(f"/runs/{run}/resume")
        last = await ended(client, run)
        worker.stop()
        await driving
    assert (paused.status_code, resumed.status_code) == (202, 202)
    assert row["reasons"] == ["paused"]
    assert last["status"] == "succeeded"


async def test_a_cancelled_run_says_who_and_why() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json={"agent": "receives"})).json()["run"]
        await until(client, run, lambda row: row["status"] == "waiting")
        done = await client.post(f"/runs/{run}/cancel", json={"reason": "not needed", "terminate": True})
        again = await client.post(f"/runs/{run}/cancel", json={})
    assert done.json()["status"] == "cancelled"
    assert done.json()["reasons"] == ["terminated by user:ann: not needed"]
    assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (409, "run-ended")


async def test_a_write_in_doubt_is_settled() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json={"agent": "doubts"})).json()["run"]
        await until(client, run, lambda row: row["reasons"] == ["in_doubt"])
        nowhere = await client.post(f"/runs/{run}/settle", json={"step": "other", "happened": True})
        said = await client.post(
            f"/runs/{run}/settle", json={"step": "send", "happened": True, "result": "sent"}
        )
        row = await ended(client, run)
    assert nowhere.status_code == 404
    assert said.status_code == 202
    assert row["status"] == "succeeded"


async def test_a_failed_run_is_tried_again_and_forked() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json={"agent": "fails"})).json()["run"]
        row = await ended(client, run)
        retried = await client.post(f"/runs/{run}/retry")
        again = await client.post(f"/runs/{run}/retry", json={})
        forked = await client.post(f"/runs/{run}/fork", json={"from_step": "look", "run_id": "other"})
        nowhere = await client.post(f"/runs/{run}/fork", json={"from_step": "nowhere"})
    assert row["status"] == "failed"
    assert [r.status_code for r in (retried, again, forked, nowhere)] == [201, 200, 201, 404]
    assert retried.json()["run"] == again.json()["run"]
    assert forked.json()["run"] == "other"


async def test_whoever_may_only_look_steers_nothing() -> None:
    async with asked(desk()) as client:
        run = (await client.post("/runs", json={"agent": "receives"})).json()["run"]
        for what, body in (
            ("pause", None),
            ("resume", None),
            ("cancel", {}),
            ("signal", {"name": "reply"}),
            ("settle", {"step": "send", "happened": True}),
            ("retry", {}),
            ("fork", {"from_step": "x"}),
        ):
            for role in ("viewer", "approver", "auditor", "policy_editor"):
                answer = await client.post(f"/runs/{run}/{what}", json=body, headers=as_(role))
                assert answer.status_code == 403, (what, role, answer.text)
