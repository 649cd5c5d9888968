"""A clinic whose agent says something about a patient in every way in which a run can say anything."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from perdure import App, Approvers, Breaker, Diagnosis, FailureClass, Handle, Retry, Run
from perdure.journal import Approval
from tests.places import Place, database_of

PATIENT = "patient:4711"

SAID = {
    "input": "birdsong",
    "prompt": "clavicle",
    "reply": "dogwood",
    "argument": "eggplant",
    "result": "foxglove",
    "error": "goldfinch",
    "progress": "heronry",
    "decision": "icecap",
    "signal": "jackdaw",
    "question": "kingcup",
    "answer": "larkspur",
    "approval": "mallow",
    "paid": "nettle",
    "child": "oleander",
    "reason": "periwinkle",
    "context": "quince",
    "large": "rosehip",
}
"""Words that stand nowhere else, each said in one way."""

KEPT = set(SAID) - {"argument"}
"""Those that a store has to keep: of a call that can be repeated, a fingerprint of the arguments is enough."""


def new_app(url: str, folder: Path, *, lease: timedelta = timedelta(seconds=30), **options: Any) -> App:
    app = App(
        url,
        lease=lease,
        contacts={"desk": {"webhook": "http://127.0.0.1:9/never"}},
        approvals={"self_approval": True, "most_per_hour": 5},
        **options,
    )
    script = folder / "script.json"
    script.write_text(json.dumps({"rules": [{"reply": SAID["reply"]}]}))

    @app.tool(effect="read", cache=timedelta(hours=1))
    def look_up(name: str) -> str:
        return SAID["result"]

    def told(error: BaseException) -> Diagnosis:
        return Diagnosis(FailureClass.TRANSIENT, why=str(error))  # as somebody's own rule may have it

    @app.tool(effect="read", retry=Retry(attempts=1), breaker=Breaker(failures=1), classify=told)
    def broken(name: str) -> str:
        raise ConnectionError(SAID["error"])

    @app.tool(effect="write", needs_approval=Approvers("user:ann", "desk", remind=timedelta(hours=1)))
    def pay(name: str) -> str:
        return SAID["paid"]

    @app.agent("ward")
    async def ward(run: Run, name: str) -> str:
        return await run.step("large", lambda: name + SAID["large"] * 8_000)

    @app.agent("clinic")
    async def clinic(run: Run, name: str) -> None:
        await run.model(f"scripted:{script}", SAID["prompt"])
        await run.call(look_up, SAID["argument"])
        try:
            await run.call(broken, SAID["argument"])
        except Exception:
            run.progress(SAID["progress"])
        await run.decide("way", [SAID["decision"]], SAID["decision"], reason=SAID["decision"])
        await run.child(ward, SAID["child"])
        await run.receive("note", str)
        await run.ask(SAID["question"], show={"about": SAID["question"]}, answer=str)
        await run.call(pay, SAID["approval"])
        await run.escalate(SAID["reason"], context={"about": SAID["context"]})

    return app


async def question(app: App, run: Handle) -> Approval:
    """What the run asks, once it does."""
    while True:
        seen = app.store.changes()
        if found := await app.store.approvals(ref=run.ref):
            return found[0]
        await app.store.changed(seen, within=1.0)


async def until_it_waits_for(app: App, run: Handle, reason: str) -> None:
    """Until the run is a row that waits for this."""
    while reason not in (await run.record()).reasons:
        seen = app.store.changes()
        await app.store.changed(seen, within=0.2)


def on_disk(place: Place, url: str) -> bytes:
    """All bytes that the store has: a file and its log, or every column of every table, as text."""
    if place.kind == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        found = [f.read_bytes() for f in sorted(path.parent.glob(f"{path.name}*"))]
        return b"".join(found)
    import psycopg

    server: Any = place
    assert database_of(url)
    found = []
    with psycopg.connect(server.server.url(database_of(url))) as connection:
        tables = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables "
            "where table_schema = 'perdure' and table_type = 'BASE TABLE'"
        ).fetchall()
        assert len(tables) > 8
        for (table,) in tables:
            with connection.cursor().copy(f"copy {table} to stdout".encode()) as rows:
                for row in rows:
                    text = bytes(row)
                    found.append(text)
                    for column in text.split(b"\t"):
                        if column.startswith(b"\\\\x"):  # bytea
                            found.append(bytes.fromhex(column[3:].strip().decode()))
    return b"".join(found)


def found_in(disk: bytes) -> set[str]:
    """Which of the words stand there, and how they were said."""
    return {how for how, word in SAID.items() if word.encode() in disk}
