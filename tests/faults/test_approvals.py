"""F1 and S24: an approval is used up once, whenever the worker that uses it is killed, and whoever goes on."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from perdure import RunEnded, UnknownStep
from perdure.core.errors import AnswerRefused
from perdure.journal import Approval, Entry, Kind, Post
from tests.faults.processes import Nursery, Site, until
from tests.faults.programs import approving
from tests.places import Place

RUN = "r1"
PATIENCE = 60.0


async def open_question(site: Site, step: str) -> Approval:
    async def there() -> Approval | None:
        return next((a for a in await site.store.approvals(ref=site.app.ref(RUN)) if a.step == step), None)

    found = await until(there, f"the question of `{step}`", within=PATIENCE)
    assert found is not None
    return found


async def say_yes(site: Site, asked: Approval, by: str) -> bool:
    """One of several who answer the same question at once; False: another was first, or the run has gone on."""
    try:
        return await site.app.answer(RUN, asked.step, approved=True, by=by, digest=asked.digest)
    except (UnknownStep, AnswerRefused, RunEnded):
        return False


def verdicts(entries: list[Entry], key: str) -> list[dict[str, Any]]:
    return [json.loads(e.payload) for e in entries if e.key == key and e.kind == Kind.VERDICT]


async def trial(nursery: Nursery, place: Place, folder: Path, when: str, nth: int) -> str | None:
    """What the killed worker had written last of the call; None: the run had come further before."""
    async with Site(folder, nursery, url=place.url(folder)) as site:
        await site.app.start(approving.register(site.app), run_id=RUN, by="user:ann")
        first = await site.worker("approving")
        asked = await open_question(site, "pay")
        await site.waits_for(RUN, "approval")
        first.send(signal.SIGKILL)
        await first.death()
        counted = await asyncio.gather(*(say_yes(site, asked, by) for by in ("bob", "eve", "joe")))
        assert counted.count(True) == 1

        victim = await site.worker("approving", AT={"when": when, "nth": nth})
        over = asyncio.ensure_future(open_question(site, "pay:2"))
        died = asyncio.ensure_future(victim.death())
        await asyncio.wait({over, died}, return_when=asyncio.FIRST_COMPLETED)
        reached = died.done()
        before = await site.entries(RUN)
        await asyncio.gather(*(site.worker("approving") for _ in range(2)))
        again = await over
        died.cancel()

        # What was used up lets no second call pass, though it is for the same and is forced into the inbox.
        assert again.digest != asked.digest
        body = json.dumps({"approved": True, "digest": asked.digest}).encode()
        post = Post(ref=site.app.ref(RUN), kind="answer", name="pay:2", id="old", sender="bob", body=body)
        await site.store.post(post)

        async def refused() -> bool:
            return any(v["verdict"] == "refused" for v in verdicts(await site.entries(RUN), "pay:2"))

        await until(refused, "the old answer is refused")
        assert await say_yes(site, await open_question(site, "pay:2"), "eve")
        record = await site.ended(RUN)
        assert record.status == "succeeded", record.reasons
        entries = await site.entries(RUN)
        assert site.notes() == [f"pay 5 {RUN}/pay", f"pay 5 {RUN}/pay:2"]
        for key in ("pay", "pay:2"):
            used = [v for v in verdicts(entries, key) if v["verdict"] == "approved"]
            assert len(used) == 1, used
            # the answer is used up in the append of the intent: neither is there without the other
            at = next(n for n, e in enumerate(entries) if e.key == key and e.kind == Kind.INTENT)
            assert entries[at - 1].key == key and entries[at - 1].kind == Kind.VERDICT
        if not reached:
            return None
        return Kind(next(e.kind for e in reversed(before) if e.key == "pay")).name.lower()


async def test_an_approval_is_used_up_once_whoever_is_killed(
    place: Place, nursery: Nursery, tmp_path: Path
) -> None:
    # its third append after the answer holds verdict and intent, the fourth the result
    points = [("after", 2), ("before", 3), ("after", 3), ("before", 4), ("after", 4)]

    died_at = await asyncio.gather(
        *(trial(nursery, place, tmp_path / f"{when}{nth}", when, nth) for when, nth in points)
    )

    assert {"waiting", "intent", "result"} <= set(died_at), died_at  # before, within, and behind it
