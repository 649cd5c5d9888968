"""`memory search|show|why|undo|restore|withdrawn|forget|export|review`: what people do with what agents remember."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from perdure import App, Run
from perdure.cli.outcome import Exit
from perdure.identity import MasterKeys

from .conftest import Cli


def remember(store: str, *, review: str = "none", subject: str | None = None) -> None:
    """A run that has written to memory, and one that has recalled it."""

    async def work() -> None:
        app = App(store, memory={"review": review})

        @app.agent("keeper")
        async def keeper(run: Run) -> None:
            await run.step("mail", lambda: "a stranger's mail")
            await run.session("case-17").append("user", "where is \x1b[31mmy tea")

        @app.agent("reader")
        async def reader(run: Run) -> int:
            return len(await run.session("case-17").messages())

        async with app:
            await (await app.start(keeper, run_id="w", subject=subject)).result()
            await (await app.start(reader, run_id="r", subject=subject)).result()

    asyncio.run(work())


ITEM = "w/session_append"


def test_an_item_is_found_shown_and_explained(cli: Cli) -> None:
    remember(cli.store)
    found = cli("memory", "search", "my TEA", "--json").json
    (item,) = found["items"]
    assert (item["id"], item["kind"], item["labels"], item["withdrawn"]) == (
        ITEM,
        "message",
        ["untrusted"],
        None,
    )
    assert item["content"] == {"role": "user", "content": "where is \x1b[31mmy tea"}
    assert cli("memory", "search", "coffee", "--json").json["items"] == []
    listed = cli("memory", "search", columns="200").stdout
    assert ITEM in listed and "my tea" in listed and "\x1b[31m" not in listed

    shown = cli("memory", "show", ITEM, "--json").json
    assert (shown["run"]["agent"], shown["tool"]) == ("keeper", "session_append")
    assert "untrusted" in cli("memory", "show", ITEM).stdout

    why = cli("memory", "why", ITEM, "--json").json
    assert [read["step"] for read in why["read"]] == ["mail"]
    assert [(r["run"], r["step"], r["rank"]) for r in why["recalls"]] == [("r", "session_messages", 1)]
    spoken = cli("memory", "why", ITEM, columns="200").stdout
    assert "mail" in spoken and "r (reader), session_messages, as number 1" in spoken
    answer = cli("memory", "why", "w/nothing")
    assert answer.code == Exit.NOT_FOUND and "memory search" in answer.stderr


def test_what_is_withdrawn_comes_back_when_it_is_restored(cli: Cli) -> None:
    remember(cli.store)
    assert "memory restore w" in cli("memory", "undo", "w", "--why", "planted", "--by", "ann").stderr
    assert "already" in cli("memory", "undo", "w").stderr
    (held,) = cli("memory", "withdrawn", "--json").json
    assert (held["target"], held["by"], held["why"]) == ("w", "ann", "planted")
    assert "planted" in cli("memory", "withdrawn").stdout
    assert cli("memory", "search", "--json").json["items"][0]["withdrawn"]["by"] == "ann"

    assert cli("memory", "restore", "w", "--json").json == {"target": "w", "withdrawn": False}
    assert cli("memory", "restore", "w").code != 0
    assert cli("memory", "withdrawn", "--json").json == []


def test_what_was_made_of_it_is_withdrawn_with_it(cli: Cli) -> None:
    remember(cli.store)
    told = cli("memory", "spread", "w", "--json").json
    assert (told["runs"], told["writes"], told["complete"]) == (["r"], [], True)
    assert "handed to: r" in cli("memory", "spread", "w").stdout
    assert cli("memory", "undo", "w", "--spread", "--json").json["further"] == []
    assert "goes with a run" in cli("memory", "undo", ITEM, "--spread").stderr
    assert "no run was handed" in cli("memory", "spread", "r").stderr


def test_a_person_decides_what_is_remembered(cli: Cli) -> None:
    remember(cli.store, review="untrusted")
    (waits,) = cli("memory", "review", "ls", "--json").json
    assert (waits["id"], waits["state"], waits["tool"]) == (ITEM, "waits", "session_append")
    assert ITEM in cli("memory", "review", "ls", columns="200").stdout

    told = cli("memory", "review", "accept", ITEM, "--by", "ann", "--json").json
    assert told == {"target": ITEM, "items": [ITEM], "state": "accepted"}
    answer = cli("memory", "review", "reject", ITEM)
    assert answer.code == Exit.CONFLICT and "was accepted by ann" in answer.stderr
    assert cli("memory", "review", "ls", "--json").json == []
    assert cli("memory", "review", "ls", "--all", "--json").json[0]["by"] == "ann"
    assert cli("memory", "search", "--json").json["items"][0]["labels"] == ["reviewed", "untrusted"]
    assert cli("memory", "review", "reject", "w").code == Exit.NOT_FOUND


def test_all_that_waits_of_a_run_is_decided_at_once(cli: Cli) -> None:
    remember(cli.store, review="all")
    told = cli("memory", "review", "reject", "w", "--why", "a forged mail", "--json").json
    assert told == {"target": "w", "items": [ITEM], "state": "rejected"}
    assert cli("memory", "review", "ls", "--json").json == []


def test_a_person_is_exported_and_forgotten(cli: Cli, monkeypatch: Any) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    remember(cli.store, subject="patient:1")
    (line,) = cli("memory", "export", "patient:1").stdout.splitlines()
    assert json.loads(line)["subject"] == "patient:1"
    assert "about `patient:2`" in cli("memory", "export", "patient:2").stderr

    assert "--yes" in cli("memory", "forget", "patient:1").stderr
    done = cli("memory", "forget", "patient:1", "--yes")
    assert done.code == 0 and "audit erase" in done.stderr
    assert cli("memory", "search", "--json").json["items"] == []
