"""`memory sessions ls|show`: what people see of what agents remember."""

from __future__ import annotations

import asyncio

import pytest

from perdure import App, Run

from .conftest import Cli


def keep(store: str) -> None:
    """A run that has written to a session."""

    async def work() -> None:
        app = App(store)

        @app.agent("keeper")
        async def keeper(run: Run) -> None:
            session = run.session("case-17")
            await session.append("user", "where is \x1b[31mmy tea")
            await session.append("assistant", {"tea": 2})
            await session.set("state", "open")
            await session.compact("asks for tea", upto=1)
            await run.session("diary", agent="keeper").append("keeper", "to myself")
            ann = await run.knowledge.entity("person", "Ann", aliases=["\x1b[31mAnnie"])
            await run.knowledge.say(ann, "works_at", "Bolt", valid_from="2020", valid_to="2024")
            said = await run.knowledge.say(ann, "likes", "coffee")
            await run.knowledge.retract(said, why="it was tea")

        async with app:
            await (await app.start(keeper, run_id="r")).result()

    asyncio.run(work())


def test_a_session_is_listed_and_shown_with_where_it_comes_from(cli: Cli) -> None:
    keep(cli.store)
    (told, own) = cli("memory", "sessions", "ls", "--json").json
    assert (own["session"], own["agent"]) == ("diary", "keeper")
    assert "to myself" in cli("memory", "sessions", "show", "diary", "--agent", "keeper").stdout
    assert (told["session"], told["subject"], told["messages"]) == ("case-17", None, 2)
    assert "case-17" in cli("memory", "sessions", "ls").stdout

    shown = cli("memory", "sessions", "show", "case-17", "--json").json
    assert [(m["n"], m["role"], m["content"]) for m in shown["last"]] == [
        (1, "user", "where is \x1b[31mmy tea"),
        (2, "assistant", {"tea": 2}),
    ]
    assert (shown["last"][0]["run"], shown["last"][0]["labels"]) == ("r", ["untrusted"])
    assert shown["last"][0]["step"].startswith("session_append")
    assert [(v["key"], v["value"], v["version"]) for v in shown["values"]] == [("state", "open", 1)]
    assert (shown["summary"]["upto"], shown["summary"]["text"]) == (1, "asks for tea")
    spoken = cli("memory", "sessions", "show", "case-17", columns="200").stdout
    assert "asks for tea" in spoken and "open" in spoken and "\x1b[31m" not in spoken


def test_one_that_is_not_there(cli: Cli) -> None:
    cli.begin("asks", "r")
    assert cli("memory", "sessions", "ls", "--json").json == []
    answer = cli("memory", "sessions", "show", "case-17")
    assert answer.code == 2
    assert "needs --subject" in answer.stderr and "memory sessions ls" in answer.stderr


def test_what_is_known_is_listed_and_shown_with_dates_and_where_it_comes_from(cli: Cli) -> None:
    keep(cli.store)
    (ann,) = cli("memory", "knowledge", "ls", "--kind", "person", "--json").json
    assert (ann["name"], ann["run"], ann["labels"]) == ("Ann", "r", ["untrusted"])
    listed = cli("memory", "knowledge", "ls", columns="200").stdout
    assert "Ann" in listed and "\x1b[31m" not in listed

    shown = cli("memory", "knowledge", "show", "person", "ann", "--json").json
    assert [fact["says"] for fact in shown["facts"]] == [
        "Ann works_at Bolt (from 2020-01-01, until 2024-01-01)"
    ]
    assert shown["facts"][0]["step"].startswith("knowledge_say")
    assert (
        cli("memory", "knowledge", "show", "person", str(ann["id"]), "--as-of", "2025", "--json").json[
            "facts"
        ]
        == []
    )
    history = cli("memory", "knowledge", "show", "person", "Ann", "--history", columns="200").stdout
    assert "coffee" in history and "2024-01-01" in history
    unknown = cli("memory", "knowledge", "show", "person", "Anna")
    assert unknown.code != 0 and "cannot be told: `Ann`" in unknown.stderr
    assert "no company is known as `Ann`" in cli("memory", "knowledge", "show", "company", "Ann").stderr


def test_the_doctor_says_whether_memory_can_be_found_by_meaning(cli: Cli) -> None:
    settings = cli.folder / "perdure.toml"

    def found(model: str) -> list[tuple[str, str, str | None]]:
        settings.write_text(f'[memory]\nembeddings = "{model}"\n')
        checks = cli("doctor", "--json").json["checks"]
        return [(c["state"], c["found"], c["do"]) for c in checks if c["check"] == "memory"]

    ((state, said, _),) = found("scripted:x")
    assert state == "fail" and "makes no embeddings" in said
    pytest.importorskip("wordllama", reason='no wordllama: `pip install "perdure[embeddings]"`')
    assert found("wordllama:256")[0][:2] == ("ok", "working memory is found by `wordllama:256`")


def test_what_a_run_remembers_for_itself_is_searched_and_forgotten_like_the_rest(cli: Cli) -> None:
    async def work() -> None:
        app = App(cli.store)

        @app.agent("keeper")
        async def keeper(run: Run) -> None:
            await run.working("handbook").add("refunds take five days", source="handbook.md")

        async with app:
            await (await app.start(keeper, run_id="r")).result()

    asyncio.run(work())

    (item,) = cli("memory", "search", "refunds", "--json").json["items"]
    assert (item["layer"], item["id"], item["content"]) == (
        "working",
        "r/working_add",
        "refunds take five days",
    )
    assert "handbook.md" in cli("memory", "show", item["id"]).stdout
