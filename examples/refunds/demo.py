"""`python examples/refunds/demo.py`: eight cases for the refund desk, and what came of each.

    python examples/refunds/demo.py [--yes] [--json] [--keep FOLDER]

It starts a model server with faults, a payment service and the shift's webhook receiver on loopback, and a worker,
which it kills in the middle of a payment. All that it leaves is in `.refunds/`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

from services import PaymentService, Shift

from perdure.testing import Stage

HERE = Path(__file__).resolve().parent
MARK = "# made by examples/refunds/demo.py, which empties it\n*\n"

SETTINGS = """\
app = "{here}/desk.py:app"
store = "sqlite:///perdure.db"
lease = 2       # seconds, so that a killed worker's cases are taken over while you watch

[budget.agents.refund-desk]
money = "5.00"
per = "day"

[contacts.shift]
webhook = "{shift}"
secret_env = "SHIFT_SECRET"
ack_within = "PT15M"
then = "owner"

[contacts.owner]
webhook = "{shift}"
secret_env = "SHIFT_SECRET"
"""


async def run(folder: Path) -> dict[str, Any]:
    secret = secrets.token_hex(16)
    payments, shift, stage = PaymentService(holds="A-105"), Shift(secret), Stage(folder)
    (folder / "perdure.toml").write_text(SETTINGS.format(here=HERE, shift=shift.url), encoding="utf-8")
    stage.environment |= {
        "REFUNDS_PAYMENTS": payments.url,
        "REFUNDS_OUTBOX": str(folder / "outbox"),
        "SHIFT_SECRET": secret,
    }
    try:
        stage.environment |= await stage.model_server(HERE / "script.toml")
        os.environ.update(stage.environment)
        os.chdir(folder)  # where `perdure.toml` is
        from desk import app
        from stories import Desk, judge, play

        try:
            stories = await play(Desk(app, stage, payments, shift))
            (day,) = await app.budgets.ls()
        finally:
            await app.close()
    finally:
        payments.go_on.set()
        await stage.stop()
        payments.close()
        shift.close()
    checks = judge({story.name: story for story in stories})
    return {
        "ok": all(checks.values()),
        "checks": checks,
        "stories": {story.name: story.model_dump() for story in stories},
        "day": {"budget": day.shared.scope, "limits": day.limits, "spent": day.account.spent.to_json()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="A refund desk with a limit, a budget and people behind it.")
    parser.add_argument("--yes", action="store_true", help="do not wait for Enter before it begins")
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument("--keep", type=Path, default=Path(".refunds"), help="folder for all that it leaves")
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
        input("The demo plays the customers, and Ann and Ben of the shift. Enter begins. ")
    options.keep.mkdir(parents=True)
    mark.write_text(MARK, encoding="utf-8")
    try:
        summary = asyncio.run(run(options.keep.resolve()))
    except KeyboardInterrupt:
        print(f"\nStopped; its processes are gone. What happened stays in {options.keep}", file=sys.stderr)
        return 130
    except (RuntimeError, TimeoutError) as error:
        print(f"The demo is stuck: {error!r}. What its processes said is in {options.keep}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        report(summary, options.keep)
    return 0 if summary["ok"] else 1


def report(summary: dict[str, Any], folder: Path) -> None:
    for name, story in summary["stories"].items():
        print(f"{name}: {story['status']}" + (f" ({story['why']})" if story["why"] else ""))
        for entry in story["journal"]:
            print(f"    {entry[:110]}")
        for mail in story["mails"]:
            print(f"    ► {mail}")
        print()
    for what, holds in summary["checks"].items():
        print("✓" if holds else "✗", what)
    print(f"\nLook further:  cd {folder}; perdure runs ls; perdure runs show storm; perdure cost --by run")


if __name__ == "__main__":
    sys.exit(main())
