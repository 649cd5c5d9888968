"""The feed sends each fact at least once, in the order of the log, from a cursor that says exactly what was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.app import open_store
from perdure.audit import Fact, Facts
from perdure.audit import feed as feeds
from perdure.audit.feed import Cursor, Feed, Sent
from perdure.core.errors import ConfigError
from perdure.db.memory import MemoryStore
from perdure.journal import Store
from perdure.testing import JournalBuilder
from perdure.testing.conformance._scene import claimed, record_of, run_ref, started


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/t.db"
        made = open_store(url if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    await made.open()
    yield made
    await made.close()


async def wrote(store: Store, name: str, *payloads: bytes, tenant: str = "default") -> None:
    """More entries of a run: a leaf of the log, once somebody looks."""
    if await store.get(run_ref(name, tenant=tenant)) is None:
        await started(store, name, tenant=tenant)
        run = (await claimed(store, name, tenant=tenant)).run
    else:
        run = await record_of(store, name, tenant=tenant)
    await store.append(JournalBuilder.of(run).append(*payloads))


async def sent(feed: Feed, *, most: int = 10_000) -> list[Sent]:
    """What there is now, at most so many."""
    found: list[Sent] = []
    async for one in feed.facts():
        if one is None:
            break
        found.append(one)
        if len(found) == most:
            break
    return found


def ids(found: list[Sent]) -> list[str]:
    return [one.fact.id for one in found]


def told(fact: Fact) -> dict[str, Any]:
    """All of it but the agent's name, which the first entry of a conformance test's run does not say."""
    return {k: v for k, v in fact.to_json().items() if k not in ("agent", "version", "by")}


def from_the_start(store: Store, tenant: str | None = "default") -> Feed:
    return Feed(store, tenant=tenant, since=Cursor())


async def test_each_fact_comes_once_in_the_order_of_its_run_and_goes_on_where_it_stopped(
    store: Store,
) -> None:
    feed = from_the_start(store)
    assert await sent(feed) == []
    await wrote(store, "a", b"1", b"2")
    await wrote(store, "b", b"1")
    first = await sent(feed)
    assert sorted(ids(first)) == ["default/a/1", "default/a/2", "default/a/3", "default/b/1", "default/b/2"]
    assert await sent(feed) == []
    await wrote(store, "a", b"3")
    await wrote(store, "b", b"2", b"3")
    second = await sent(Feed(store, tenant="default", since=feed.cursor))
    assert sorted(ids(second)) == ["default/a/4", "default/b/3", "default/b/4"]
    for run in "ab":
        told = [one.fact.seq for one in first + second if one.fact.ref.id == run]
        assert told == list(range(1, len(told) + 1))


async def test_from_the_cursor_of_any_event_nothing_is_lost_and_little_comes_again(store: Store) -> None:
    for n in range(3):
        await wrote(store, "a", b"1", b"2", b"3")
        await wrote(store, "b", str(n).encode())
        await sent(from_the_start(store))  # brings it under the log
    whole = await sent(from_the_start(store))
    assert len(whole) == 14
    for i, one in enumerate(whole):
        rest = await sent(Feed(store, tenant="default", since=Cursor.parse(str(one.cursor))))
        known = ids(whole[: i + 1])
        assert [name for name in ids(rest) if name not in known] == ids(whole[i + 1 :])
        assert len(rest) - len(whole[i + 1 :]) < 4  # at most the leaf that was under way


async def test_a_tenant_gets_its_own_facts_and_who_may_gets_all(store: Store) -> None:
    await wrote(store, "a", b"1")
    await wrote(store, "a", b"1", tenant="other")
    assert {one.fact.ref.tenant for one in await sent(from_the_start(store))} == {"default"}
    assert {one.fact.ref.tenant for one in await sent(from_the_start(store, "other"))} == {"other"}
    assert {one.fact.ref.tenant for one in await sent(from_the_start(store, None))} == {"default", "other"}


async def test_a_run_that_was_forgotten_is_read_again_and_told_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RUNS", 1)
    monkeypatch.setattr(feeds, "ENTRIES", 2)
    monkeypatch.setattr(feeds, "LEAVES", 1)
    feed = from_the_start(store)
    found: list[Sent] = []
    for _ in range(3):
        for name in "abc":
            await wrote(store, name, b"1", b"2", b"3")
        found += await sent(feed)
    assert len(ids(found)) == len(set(ids(found))) == 3 * 10
    for name in "abc":
        facts = Facts.of(await record_of(store, name))
        whole = [told(facts.see(entry)) for entry in await store.read(run_ref(name))]
        assert [told(one.fact) for one in found if one.fact.ref.id == name] == whole


async def test_a_cursor_of_another_log_is_refused(store: Store) -> None:
    await wrote(store, "a", b"1")
    feed = from_the_start(store)
    await sent(feed)
    await Feed(store, tenant=None, since=feed.cursor).check()
    await from_the_start(store).check()
    for wrong in (Cursor(feed.cursor.place, "0" * 16), Cursor(feed.cursor.place + 1, feed.cursor.hash)):
        with pytest.raises(ConfigError, match="is not of this store's log"):
            await Feed(store, tenant=None, since=wrong).check()


@pytest.mark.parametrize("text", ["", "x", "-1", "5", "5.ab", "0.0123456789abcdef", "5.0123456789abcdef0"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is none of this feed"):
        Cursor.parse(text)


def test_a_cursor_is_read_as_it_was_written() -> None:
    for cursor in (Cursor(), Cursor(0, "0123456789abcdef"), Cursor(41, "0123456789abcdef")):
        assert Cursor.parse(f"{cursor}\n") == cursor
