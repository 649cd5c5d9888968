"""S36, held rather than refused: what is stopped does nothing more, on no worker, and goes on where it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.journal import Kind
from tests.faults.processes import Site, kinds, until
from tests.faults.programs import rogue

RUNS = {"r1": ("rogue", "left"), "r2": ("rogue", "right"), "h": ("honest", "left")}


@pytest.mark.parametrize(
    ("who", "held"),
    [
        ({"agent": "rogue"}, {"r1", "r2"}),
        ({"whole_tenant": True}, set(RUNS)),
        ({"everything": True}, set(RUNS)),
    ],
    ids=["agent", "tenant", "all"],
)
async def test_s36_what_is_stopped_is_held_on_every_worker_and_goes_on(
    site: Site, who: dict[str, Any], held: set[str]
) -> None:
    agents = rogue.register(site.app)
    for label in ("left", "right"):
        await site.worker("rogue", LABEL=label)
    for name, (agent, label) in RUNS.items():
        await site.app.start(agents[agent], name, run_id=name, needs=[label], by="user:ann")
    await until(lambda: set(site.notes()) == {f"{name} 1" for name in RUNS}, "all send their first letter")

    # each is in the middle of an effect, for which it was cleared a moment ago
    assert await site.app.stop(**who, by="ops", reason="it lies")
    (site.folder / "go").touch()

    for name in RUNS:
        if name not in held:
            assert (await site.ended(name)).status == "succeeded"
            continue
        await site.waits_for(name, "stopped")
        entries = await site.entries(name)
        assert kinds(entries, "send") == ["intent", "result"]  # what was under way is done
        # by a look at admission that comes late enough, or by the one beside the intent's commit
        assert kinds(entries, "send:2") in (["verdict"], ["intent", "attempt", "verdict"])
        told = json.loads([e for e in entries if e.key == "send:2"][-1].payload)
        assert (told["stage"], told["verdict"], told["by"], told["reason"]) == (
            "stop",
            "wait",
            "ops",
            "it lies",
        )
    free = {f"{name} 2" for name in RUNS if name not in held}
    assert set(site.notes()) == {f"{name} 1" for name in RUNS} | free

    assert await site.app.go_on(**who, by="boss", reason="it does not") == len(held)
    for name in RUNS:
        assert (await site.ended(name)).status == "succeeded"
    assert sorted(site.notes()) == sorted(f"{name} {n}" for name in RUNS for n in (1, 2))
    said = [json.loads(e.payload) for e in await site.entries("r1") if e.kind == Kind.MESSAGE]
    assert [(m["kind"], m["sender"], m["body"]["reason"]) for m in said] == [("go_on", "boss", "it does not")]
