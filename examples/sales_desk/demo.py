"""`make demo`: the sales desk, whose worker is killed twice, and which finishes all the same.

    python examples/sales_desk/demo.py [--yes] [--json] [--data FOLDER] [--keep FOLDER] [--model NAME]

The demo starts a real SMTP server on loopback, accepts a run for each lead, and starts `perdure worker`. It sends that
worker SIGKILL twice: in the middle of the pipeline, and between the moment in which the mail server has accepted a mail
and the moment in which the journal could know. The last page is counted from the journals, from the mail server's log,
and from a file to which every execution adds a line.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import os
import shutil
import signal
import sys
from pathlib import Path

from board import Board
from evidence import Summary
from play import Demo, Stuck
from rich.console import Console
from settings import HERE, Settings, model_by_key
from shapes import Lead

import perdure

MARK = "made by `make demo`; it is emptied when the demo begins"
PACE = 0.6
"""seconds: how long the scripted model takes, so that there is something to see"""


def main() -> int:
    options = parse()
    json_only = options.json
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to stop, it cleans up as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    console = Console(stderr=json_only, highlight=False)
    asks = not options.yes and not json_only and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        leads = read_leads(options.data / "leads.csv")
        folder = prepare(options.keep)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = Settings(
        store=f"sqlite:///{folder / 'perdure.db'}",
        model=options.model or model_by_key(),
        pace=PACE,
        documents=(options.data / "documents").resolve(),
        sent=folder / "sent-mail",
        crm=folder / "crm",
        executions=folder / "executions.jsonl",
    )
    try:
        summary = asyncio.run(run(Demo(Board(console), settings, folder, leads, asks=asks)))
    except KeyboardInterrupt:
        console.print(
            "\nStopped; its worker and its mail server are gone. What happened stays in", str(folder)
        )
        return 130
    except perdure.ConfigError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 2
    except Stuck as stuck:
        console.print(f"\nThe demo is stuck: {stuck}. The workers' own words:", style="red")
        for log in sorted(folder.glob("worker-*.log")):
            console.print(f"{log}:\n{log.read_text(errors='replace')[-2000:]}", markup=False)
        return 1
    if json_only:
        print(summary.model_dump_json(indent=2))
    return 0 if summary.ok else 1


async def run(demo: Demo) -> Summary:
    # Here too an app, but none that works: it accepts runs, answers questions and reads journals.
    app = load_app(demo.settings)
    app.models.provider(demo.settings.model)  # say now what is missing, and not in the middle
    try:
        return await demo.play(app)
    finally:
        await app.close()


def load_app(settings: Settings) -> perdure.App:
    os.environ.update(settings.as_environment())
    from agents import app

    return app


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The sales desk, killed twice, finishing.")
    parser.add_argument(
        "--yes", action="store_true", help="ask nobody: the demo approves by itself, and says so"
    )
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument("--data", type=Path, default=HERE, help="folder with leads.csv and documents/")
    parser.add_argument("--keep", type=Path, default=Path(".demo"), help="folder for store, mails and logs")
    parser.add_argument("--model", help="`provider:name`; without it, by the keys that are set")
    return parser.parse_args()


def read_leads(file: Path) -> list[Lead]:
    """The leads of a CSV file. Raises `ValueError` where there is none, or a company twice."""
    with file.open(encoding="utf-8", newline="") as lines:
        leads = [Lead.model_validate({k: v or "" for k, v in row.items()}) for row in csv.DictReader(lines)]
    companies = [lead.company for lead in leads]
    twice = {company for company in companies if companies.count(company) > 1}
    if not leads or twice:
        raise ValueError(
            f"`{file}` " + (f"names {', '.join(sorted(twice))} twice" if twice else "has no leads")
        )
    return leads


def prepare(folder: Path) -> Path:
    """An empty folder. Raises `ValueError` where there is one that the demo has not made."""
    mark = folder / ".gitignore"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists() or MARK not in mark.read_text(encoding="utf-8"):
            raise ValueError(
                f"`{folder}` is not empty and was not made by the demo; give another with --keep"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"# {MARK}\n*\n", encoding="utf-8")
    return folder.resolve()


if __name__ == "__main__":
    sys.exit(main())
