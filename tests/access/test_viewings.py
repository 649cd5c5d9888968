"""Who looked at which payload is in the journal, and an auditor finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perdure import App
from perdure.access.callers import Caller
from perdure.access.viewings import Viewings
from perdure.audit import Done, Selection, deeds_of
from perdure.core.ids import RunRef
from perdure.core.principal import Principal
from perdure.core.roles import Role
from perdure.journal import verify_chain
from perdure.testing import SkippingClock


def caller(name: str, role: Role = Role.AUDITOR, **changed: Any) -> Caller:
    who = Principal(subject=f"user:{name}", issuer="corp", grants=frozenset({"audit"}))
    return Caller(principal=who, tenant="default", roles=frozenset({role}), via=f"session:{name}", **changed)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(f"sqlite:///{tmp_path}/a.db", clock=SkippingClock())


async def looked(app: App, **wanted: Any) -> list[tuple[str | None, dict[str, Any]]]:
    found: list[tuple[str | None, dict[str, Any]]] = []
    asked = Done(tool="view", arguments=wanted.pop("arguments", ()))
    async for _, deeds in deeds_of(app.store, asked, Selection(tenant="default", **wanted)):
        found += [(deed.behalf, deed.arguments) for deed in deeds]
    return found


async def test_an_auditor_is_told_who_saw_what_and_how_often(store_url: str) -> None:
    app = App(store_url)
    await app.open()
    viewings, run = Viewings(app), RunRef("default", "r1")
    ann, bob = caller("ann"), caller("bob", Role.OPERATOR)
    for _ in range(3):
        await viewings.saw(ann, "step", (run, "pay"), (run, "pay:2"))
    await viewings.saw(bob, "entries", run)
    await viewings.saw(caller("eve", Role.VIEWER), "entries", run)  # is shown no payload
    assert await looked(app) == []

    assert await viewings.write_up() == 0  # the hour is not over
    assert await viewings.write_up(all=True) == 2
    assert await viewings.write_up(all=True) == 0

    via = {"what": "step", "via": "session:ann", "times": 3, "run": "r1"}
    assert await looked(app, person="ann") == [
        ("user:ann", {**via, "step": "pay:2"}),
        ("user:ann", {**via, "step": "pay"}),
    ]
    assert await looked(app, arguments=[("what", "entries")]) == [
        ("user:bob", {"run": "r1", "what": "entries", "via": "session:bob", "times": 1})
    ]
    assert await looked(app, person="eve") == []
    for record in await app.store.find(_all()):
        entries = await app.store.read(record.ref)
        verify_chain(record.ref, entries, whole=True)
        assert record.status.value == "succeeded"
    await app.close()


def _all() -> Any:
    from perdure.journal import RunQuery

    return RunQuery(tenant="default", agent="perdure.views")


async def test_it_is_written_up_within_the_hour_and_when_there_is_much(app: App) -> None:
    await app.open()
    viewings, ann = Viewings(app), caller("ann")
    await viewings.saw(ann, "entries", RunRef("default", "first"))
    app.clock.advance(3599)  # type: ignore[attr-defined]
    assert await viewings.write_up() == 0
    app.clock.advance(2)  # type: ignore[attr-defined]
    assert await viewings.write_up() == 1

    many = RunRef("default", "many")
    await viewings.saw(ann, "step", *((many, f"s:{n}") for n in range(2, 450)))
    assert await viewings.write_up() == 2  # those that are full
    assert await viewings.write_up(all=True) == 1
    assert len(await looked(app, arguments=[("run", "many")])) == 448
    await app.close()


async def test_what_was_interrupted_is_finished_and_written_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.open()
    viewings, run = Viewings(app), RunRef("default", "r1")
    await viewings.saw(caller("ann"), "entries", run)

    class Gone(Exception):
        pass

    async def die(*_: Any) -> None:
        raise Gone

    for place in ("seize", "append"):  # created and not written; seized and not written
        with monkeypatch.context() as patch, pytest.raises(Gone):
            patch.setattr(app.store, place, die)
            await viewings.write_up(all=True)
    app.clock.advance(120)  # type: ignore[attr-defined]
    assert await viewings.write_up() == 1
    assert len(await looked(app)) == 1
    await app.close()


async def test_nobody_is_shown_what_could_not_be_written_down(app: App) -> None:
    with pytest.raises(Exception):  # noqa: B017  # whatever the store says: it is not swallowed
        await app.open()
        await app.store.close()
        await Viewings(app).saw(caller("ann"), "entries", RunRef("default", "r1"))
