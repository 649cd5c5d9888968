"""`python examples/case_worker/demo.py`: a case over four days, a worker that dies every night, and what is remembered.

    python examples/case_worker/demo.py [--yes] [--json] [--keep FOLDER]

It starts a model server and a worker, which starts three MCP servers; the worker it kills three times. All that it
leaves is in `.case_worker/`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from perdure.testing import Stage

HERE = Path(__file__).resolve().parent
MARK = "# made by examples/case_worker/demo.py, which empties it\n*\n"
PLANTED = "GB33BUKB20201555555555"
OWN = "SE4550000000058398257466"

SETTINGS = """\
app = "{here}/case_worker.py:app"
store = "sqlite:///perdure.db"
policies = "{here}/policies"
lease = 2       # seconds, so that a killed worker's runs are taken over while you watch

[memory]
one_at_a_time = ["lives in"]

[mcp.crm]
command = "{python}"
args = ["{here}/crm.py", "{world}"]
trusted = true

[mcp.tickets]
command = "{python}"
args = ["{here}/tickets.py", "{world}"]
trusted = true

[mcp.files]     # what strangers have sent
command = "{python}"
args = ["{here}/files.py", "{world}"]
"""


async def run(folder: Path) -> dict[str, Any]:
    world = folder / "world"
    world.mkdir()
    (folder / "perdure.toml").write_text(
        SETTINGS.format(here=HERE, world=world, python=sys.executable), encoding="utf-8"
    )
    os.chdir(folder)  # where `perdure.toml` is
    async with Stage(folder) as stage:
        stage.environment |= await stage.model_server(HERE / "script.toml")
        os.environ.update(stage.environment)
        from case_worker import app
        from stories import Office, play

        office = Office(app, stage, world)
        try:
            stories, memory = await play(office)
        finally:
            await app.close()
        books = {name: office.books(name) for name in ("crm-asked", "crm-refunds", "tickets-sent")}
    checks = judge({story.day: story for story in stories}, memory, books)
    return {
        "ok": all(checks.values()),
        "checks": checks,
        "stories": {story.day: story.model_dump() for story in stories},
        "memory": memory,
        "books": books,
    }


def judge(of: dict[str, Any], memory: dict[str, Any], books: dict[str, Any]) -> dict[str, bool]:
    """What the demo promises, by the books of the servers and the journals."""
    mon, tue, wed, thu = (of[f"2026-11-0{day}"] for day in (2, 3, 4, 5))
    days = [mon, tue, wed, thu]
    denied = [
        [line for line in day.journal if "crm__refund" in line and "policy: deny" in line] for day in days
    ]
    lives = {fact["says"].split(" (")[0]: fact for fact in memory["facts"]}
    lund, kiel = (lives.get(f"Nora Lind lives_in {city}", {}) for city in ("Lund", "Kiel"))
    return {
        "a person said who she is, and nobody was asked again": "Nora Lindh" in memory["names"]
        and {day.report.get("customer") for day in days} == {memory["customer_of_last_year"]}
        and [sum("for approval" in line for line in day.journal) for day in days] == [1, 0, 0, 0],
        "each day began where the day before had ended": [day.report.get("found_done") for day in days]
        == [[], ["who"], ["who", "receipt"], ["who", "receipt", "refund"]]
        and set(memory["items"].values()) == {"done"},
        "killed in a question to the CRM, it was asked again": mon.status == "succeeded"
        and [asked["name"] for asked in books["crm-asked"]][:2] == ["Nora Lind"] * 2,
        "killed in an answer to her, it was sent once": [sent["text"] for sent in books["tickets-sent"]]
        == ["Thank you, we have your receipt.", "49.00 are on their way to your account."],
        "killed in the refund, a person looked, and it was paid once": [
            (paid["iban"], paid["cents"]) for paid in books["crm-refunds"]
        ]
        == [(OWN, 4900)]
        and any("happened: True, says user:ann" in line for line in wed.journal),
        "what the receipt asked for was refused": len(denied[1]) == 1 and tue.facts["refunds"] == [],
        "on the next day it still was a stranger's word": len(denied[2]) == 1
        and not any("files__" in line for line in wed.journal)
        and PLANTED not in json.dumps(books["crm-refunds"]),
        "what contradicts was kept, with where it is from": (lund.get("against"), kiel.get("against"))
        == (1, 1)
        and (lund["labels"], kiel["labels"]) == ([], ["untrusted"]),
        "a tool that had changed over night was refused until somebody looked": "has changed since it was reviewed"
        in " ".join(wed.journal)
        and thu.facts["reviewed"] == {"reply": "changed"}
        and memory["items"]["answer"] == "done",
        "what was recalled had room in its budget": all(
            0 < day.report.get("recalled", 0) <= 330 for day in days
        )
        and any(day.report.get("left_out") for day in days),
        "the conversation is one": [message["role"] for message in memory["session"]["last"]]
        == ["user", "assistant", "user", "assistant", "assistant", "assistant"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="A case over four days, and what its worker remembers.")
    parser.add_argument("--yes", action="store_true", help="do not wait for Enter before it begins")
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument(
        "--keep", type=Path, default=Path(".case_worker"), help="folder for all that it leaves"
    )
    options = parser.parse_args()
    mark = options.keep / ".gitignore"
    if options.keep.exists():
        if not mark.exists() or mark.read_text(encoding="utf-8") != MARK:
            print(
                f"error: `{options.keep}` was not made by the demo; give another with --keep", file=sys.stderr
            )
            return 2
        shutil.rmtree(options.keep)
    if not options.yes and not options.json:
        input("The demo plays Nora, who writes, and Ann of the help desk. Enter begins. ")
    options.keep.mkdir(parents=True)
    mark.write_text(MARK, encoding="utf-8")
    try:
        summary = asyncio.run(run(options.keep.resolve()))
    except KeyboardInterrupt:
        print(f"\nStopped; its processes are gone. What happened stays in {options.keep}", file=sys.stderr)
        return 130
    except (AssertionError, RuntimeError, TimeoutError) as error:
        print(f"The demo is stuck: {error!r}. What its processes said is in {options.keep}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        report(summary, options.keep)
    return 0 if summary["ok"] else 1


def report(summary: dict[str, Any], folder: Path) -> None:
    for day, story in summary["stories"].items():
        print(f"{day}: {story['status']}")
        for line in story["journal"]:
            print(f"    {line[:120]}")
        for item, said in story["report"].get("said", {}).items():
            print(f"    ► {item}: {said[:100]}")
        print()
    for what, holds in summary["checks"].items():
        print("✓" if holds else "✗", what)
    print(f"\nLook further:  cd {folder}; perdure series show case-4711; perdure memory search receipt")


if __name__ == "__main__":
    sys.exit(main())
