"""S36: who is stopped in the middle of a run does nothing more, on no worker, from the moment on that it is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.journal import Kind
from tests.faults.processes import Site, kinds, until
from tests.faults.programs import rogue

RUNS = {
    "r1": ("rogue", "left", "user:ann"),
    "r2": ("rogue", "right", "user:bob"),
    "h": ("honest", "left", "user:eve"),
}


@pytest.mark.parametrize(
    ("who", "stopped"),
    [({"agent": "rogue"}, {"r1", "r2"}), ({"run": "r2"}, {"r2"}), ({"user": "ann"}, {"r1"})],
    ids=["agent", "run", "user"],
)
async def test_s36_its_next_effect_is_denied_on_every_worker(
    site: Site, who: dict[str, Any], stopped: set[str]
) -> None:
    agents = rogue.register(site.app)
    for label in ("left", "right"):
        await site.worker("rogue", LABEL=label)
    for name, (agent, label, by) in RUNS.items():
        await site.app.start(agents[agent], name, run_id=name, needs=[label], by=by)
    await until(lambda: set(site.notes()) == {f"{name} 1" for name in RUNS}, "all send their first letter")

    # each is in the middle of an effect, for which it was cleared a moment ago
    assert await site.app.revoke(**who, by="ops", reason="it lies")
    (site.folder / "go").touch()

    for name in RUNS:
        record = await site.ended(name)
        entries = await site.entries(name)
        if name not in stopped:
            assert record.status == "succeeded"
            continue
        assert record.status == "failed"
        assert kinds(entries, "send") == ["intent", "result"]  # what was under way is done
        # by a look at admission that comes late enough, or by the one beside the intent's commit
        assert kinds(entries, "send:2") in (["verdict", "failed"], ["intent", "verdict", "failed"])
        told = [json.loads(e.payload) for e in entries if e.key == "send:2"]
        assert (told[-2]["stage"], told[-2]["verdict"], told[-2]["reason"]) == (
            "revocation",
            "denied",
            "it lies",
        )
        assert told[-1]["type"].endswith(":Revoked")
    expected = {f"{name} 1" for name in RUNS} | {f"{name} 2" for name in RUNS if name not in stopped}
    assert set(site.notes()) == expected
    assert len(site.notes()) == len(expected)

    assert await site.app.restore(**who)
    assert [e for e in await site.entries("h") if e.kind == Kind.VERDICT] == []
    again = sorted(stopped)[0]
    agent, label, by = RUNS[again]
    await site.app.start(agents[agent], "again", run_id="again", needs=[label], by=by)
    assert (await site.ended("again")).status == "succeeded"
