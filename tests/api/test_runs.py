"""Runs over the API: started once, listed page by page, shown, read, followed."""

from __future__ import annotations

import json

import pytest

from tests.api.desk import as_, asked, desk, ended, until

TEA = {"agent": "order", "input": {"item": "tea", "count": 2}}


async def test_a_run_is_started_driven_and_read() -> None:
    async with asked(desk(), worker=True) as client:
        started = await client.post("/runs", json={**TEA, "labels": {"team": "shop"}})
        run = started.json()["run"]
        row = await ended(client, run)
        read = await client.get(f"/runs/{run}/entries")
    assert started.status_code == 201
    assert (row["status"], row["labels"], row["principal"]) == ("succeeded", {"team": "shop"}, "user:ann")
    kinds = [entry["kind"] for entry in read.json()["items"]]
    assert kinds == ["started", "claimed", "result", "progress", "ended"]
    assert read.json()["items"][2]["payload"] == 6


@pytest.mark.parametrize("how", ["run_id", "key"])
async def test_a_run_that_is_asked_for_twice_is_one(how: str) -> None:
    body = {**TEA, "run_id": "tea"} if how == "run_id" else TEA
    headers = {"idempotency-key": "tea 1"} if how == "key" else {}
    async with asked(desk()) as client:
        first = await client.post("/runs", json=body, headers=headers)
        again = await client.post("/runs", json=body, headers=headers)
        other = await client.post("/runs", json={**body, "input": {"item": "milk"}}, headers=headers)
        listed = await client.get("/runs")
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["run"] == again.json()["run"]
    assert not again.json()["fresh"]
    assert other.json()["type"].endswith("/run-conflict")
    assert len(listed.json()["items"]) == 1


async def test_one_key_of_two_callers_is_two_runs() -> None:
    async with asked(desk()) as client:
        mine = await client.post("/runs", json=TEA, headers={"idempotency-key": "1"})
        theirs = await client.post(
            "/runs", json=TEA, headers={"idempotency-key": "1", **as_("operator", user="bob")}
        )
    assert mine.json()["run"] != theirs.json()["run"]
    assert theirs.status_code == 201


async def test_pages_go_on_where_the_one_before_ended() -> None:
    async with asked(desk()) as client:
        for n in range(5):
            await client.post("/runs", json={**TEA, "run_id": f"r{n}"})
        first = (await client.get("/runs", params={"limit": 2})).json()
        await client.post("/runs", json={**TEA, "run_id": "newer"})
        second = (await client.get("/runs", params={"limit": 2, "after": first["next"]})).json()
        third = (await client.get("/runs", params={"limit": 2, "after": second["next"]})).json()
    assert [[r["run"] for r in page["items"]] for page in (first, second, third)] == [
        ["r4", "r3"],
        ["r2", "r1"],
        ["r0"],
    ]
    assert third["next"] is None


async def test_filters_say_which_runs_are_listed() -> None:
    async with asked(desk()) as client:
        await client.post("/runs", json={**TEA, "run_id": "a", "labels": {"team": "shop", "x": "1"}})
        await client.post("/runs", json={"agent": "receives", "run_id": "b", "labels": {"team": "shop"}})

        async def listed(**filters: object) -> list[str]:
            found = await client.get("/runs", params=filters)
            assert found.status_code == 200, found.text
            return [r["run"] for r in found.json()["items"]]

        assert await listed(agent="order") == ["a"]
        assert await listed(label=["team=shop", "x=1"]) == ["a"]
        assert await listed(status=["pending", "running"]) == ["b", "a"]
        assert await listed(status="failed") == []
        assert await listed(since="2000-01-01T00:00:00Z") == ["b", "a"]
        assert await listed(until="2000-01-01T00:00:00Z") == []


async def test_a_stream_goes_on_behind_the_last_event_that_was_heard() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json=TEA)).json()["run"]
        await ended(client, run)
        whole = (await client.get(f"/runs/{run}/events")).text
        rest = (await client.get(f"/runs/{run}/events", headers={"last-event-id": "3"})).text
    ids = [line for line in whole.splitlines() if line.startswith("id: ")]
    assert ids == [f"id: {n}" for n in range(1, 6)]
    assert [line for line in rest.splitlines() if line.startswith("id: ")] == ids[3:]
    assert rest.endswith("event: end\ndata: {}\n\n")


async def test_what_happens_is_told_as_it_happens() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json={"agent": "receives"})).json()["run"]
        waits = await until(client, run, lambda row: row["status"] == "waiting")
        assert waits["reasons"] == ["signal"]
        sent = {"name": "reply", "payload": "yes", "message_id": "m1"}
        told = await client.post(f"/runs/{run}/signal", json=sent)
        row = await ended(client, run)
    assert (told.status_code, told.json()["fresh"]) == (202, True)
    assert row["status"] == "succeeded"


async def test_a_message_that_is_sent_twice_counts_once() -> None:
    async with asked(desk()) as client:
        run = (await client.post("/runs", json={"agent": "receives"})).json()["run"]
        sent = {"name": "reply", "payload": "yes", "message_id": "m1"}
        told = [await client.post(f"/runs/{run}/signal", json=sent) for _ in range(2)]
    assert [(t.status_code, t.json()["fresh"]) for t in told] == [(202, True), (202, False)]


async def test_a_viewer_sees_what_happened_and_not_with_what() -> None:
    viewer = as_("viewer")
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json=TEA)).json()["run"]
        await ended(client, run)
        read = await client.get(f"/runs/{run}/entries", headers=viewer)
        heard = await client.get(f"/runs/{run}/events", headers=viewer)
        refused = await client.post("/runs", json=TEA, headers=viewer)
    assert {entry["payload"] for entry in read.json()["items"]} == {None}
    assert all(entry["withheld"] for entry in read.json()["items"])
    assert "tea" not in read.text + heard.text
    assert refused.status_code == 403


async def test_runs_are_told_as_they_move_and_none_is_missed_by_a_reconnect() -> None:
    async with asked(desk(), worker=True) as client:

        async def heard(last: str | None, until_seen: str) -> tuple[set[str], str]:
            headers = {} if last is None else {"last-event-id": last}
            seen: set[str] = set()
            async with client.stream("GET", "/events", headers=headers) as response:
                if last is None:
                    await client.post("/runs", json={**TEA, "run_id": until_seen})
                cursor = ""
                async for line in response.aiter_lines():
                    if line.startswith("id: "):
                        cursor = line.removeprefix("id: ")
                    elif line.startswith("data: {") and '"run":' in line:
                        seen.add(json.loads(line.removeprefix("data: "))["run"])
                    elif not line and cursor and until_seen in seen:
                        return seen, cursor
            raise AssertionError

        first, cursor = await heard(None, "r1")
        await client.post("/runs", json={**TEA, "run_id": "away"})
        await client.post("/runs", json={**TEA, "run_id": "theirs"}, headers=as_(tenant="other"))
        second, _ = await heard(cursor, "away")
    assert first == {"r1"}
    assert "away" in second
    assert "theirs" not in second
