"""`series ls|show`: what people read of a goal that many runs work on."""

from __future__ import annotations

import asyncio

import pytest

from perdure import App, Run

from .conftest import Cli


@pytest.fixture
def migrated(cli: Cli) -> Cli:
    """A series whose first run has failed."""
    app = App(cli.store)

    @app.agent("migrate", series="billing")
    async def migrate(run: Run) -> None:
        run.add_items({"invoices": "All of them", "taxes": ""})
        while item := await run.next_item():
            if item.id == "taxes":
                run.progress("by the API", item=item.id, state="tried", why="HTTP 500")
                raise ValueError("no taxes")
            run.progress("copied", item=item.id, state="done", evidence={"rows": 7})

    async def work() -> None:
        async with app:
            await (await app.start(migrate, run_id="first")).ending()

    asyncio.run(work())
    return cli


def test_a_series_is_listed_and_shown(migrated: Cli) -> None:
    cli = migrated
    assert cli("series", "ls", "--json").json == [
        {"series": "billing", "runs": 1, "items": 2, "done": 1, "half_done": 1, "open": 0, "failed": 0}
    ]
    listed = cli("series", "ls").stdout
    assert "billing" in listed and "1 of 2" in listed

    told = cli("series", "show", "billing", "--json").json
    assert [(i["id"], i["state"], i["evidence"]) for i in told["items"]] == [
        ("invoices", "done", {"rows": 7}),
        ("taxes", "half_done", None),
    ]
    assert told["items"][1]["tried"][0]["why"] == "HTTP 500"
    page = cli("series", "show", "billing", "--markdown").stdout
    assert page.startswith("# Series billing\n\n1 done, 1 half done.\n")
    assert "## Half done" in page and "tried in vain: by the API: HTTP 500 (first)" in page
    shown = cli("series", "show", "billing").stdout
    assert "Half done" in shown and "HTTP 500" in shown and "##" not in shown


def test_a_series_that_is_not_there(cli: Cli) -> None:
    cli.begin("asks", "r")
    assert cli("series", "ls", "--json").json == []
    missing = cli("series", "show", "nothing", "--json")
    assert (missing.code, missing.json["error"]["type"]) == (4, "UnknownRun")
    both = cli("series", "show", "nothing", "--markdown", "--json")
    assert both.code != 0 and both.json["error"]["type"] == "ConfigError"
