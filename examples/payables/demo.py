"""`python examples/payables/demo.py`: seven invoices paid, or not, for a clerk; a thief; and an auditor.

    python examples/payables/demo.py [--yes] [--json] [--keep FOLDER]

It starts a bank that verifies every call, a ledger with OAuth, the company's key set, a model server, and a worker,
which it kills in the middle of a payment. All that it leaves is in `.payables/`.
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

from company import HERE, LOGIN, SETTINGS, Login, free_port

from perdure.testing import OAuthServer, Stage

MARK = "# made by examples/payables/demo.py, which empties it\n*\n"


async def run(folder: Path) -> dict[str, Any]:
    (folder / "auditor").mkdir()
    login, port = Login(folder), free_port()
    os.chdir(folder)  # where `perdure.toml` is
    secret = secrets.token_urlsafe()
    with OAuthServer(client_secret=secret, scopes=("write",), user="ann", lifetime=2) as ledger:
        async with Stage(folder) as stage:
            stage.environment |= {
                "PAYABLES_LEDGER": ledger.api,
                "PAYABLES_DATA": str(HERE),
                "LEDGER_SECRET": secret,
            }
            keys = {name: await approver(stage, name) for name in ("bob", "eve")}
            issuer = f"http://127.0.0.1:{port}"
            (folder / "perdure.toml").write_text(
                SETTINGS.format(
                    here=HERE, issuer=issuer, login=LOGIN, jwks=login.jwks, ledger=ledger.url, **keys
                ),
                encoding="utf-8",
            )
            await stage.operator("identity", "init")
            await stage.operator("audit", "init", "--origin", "harrow.example/audit")
            await stage.serve(str(HERE / "documents.py"), str(port), name="documents")
            bank = (await stage.serve(str(HERE / "bank.py"), issuer, "INV-103", name="bank"))["url"]
            stage.environment |= {"PAYABLES_BANK": bank}
            stage.environment |= await stage.model_server(HERE / "script.toml")
            os.environ.update(stage.environment)
            from payables import app
            from stories import Office, play

            try:
                stories, thief, audit = await play(Office(app, stage, login, ledger, bank))
            finally:
                await app.close()
    checks = judge({story.name: story for story in stories}, thief, audit)
    return {
        "ok": all(checks.values()),
        "checks": checks,
        "stories": {story.name: story.model_dump() for story in stories},
        "thief": thief,
        "audit": audit,
    }


async def approver(stage: Stage, name: str) -> str:
    """A person makes a key of their own; what the others know of it."""
    from stories import PASSPHRASE

    made = await stage.operator(
        "approvers", "keygen", "--user", f"user:{name}", "--out", f"{name}.key", environment=PASSPHRASE
    )
    return made["key"]


def judge(of: dict[str, Any], thief: dict[str, Any], audit: dict[str, Any]) -> dict[str, bool]:
    """What the demo promises, by the bank's books."""
    rent, machine, killed = of["INV-101"], of["INV-102"], of["INV-103"]
    forged = machine.facts["forged"]
    return {
        "the bank knows which agent paid, and for whom": [p["agent"] for p in rent.paid]
        == ["spiffe://agents.harrow.example/t/default/agent/payables"]
        and rent.paid[0]["for"] == "user:ann",
        "without the clerk's own account it waited, and took no other": any(
            "needs_connection" in line for line in rent.journal
        )
        and rent.status == "succeeded",
        "nothing was paid before the manager had signed, and once after": machine.facts["paid_before"] == []
        and [p["cents"] for p in machine.paid] == [1200000],
        "no forged yes counted": all(not said.startswith("0") for said in forged.values())
        and any("approval: refused" in line for line in machine.journal),
        "keys were rotated and the clerk's login renewed while it waited": machine.status == "succeeded"
        and machine.facts["renewed"] >= 1,
        "an account that only the invoice names was not paid": of["INV-104"].paid == []
        and "register of suppliers" in of["INV-104"].facts["why"],
        "what a mail asks for did not leave the house": not of["INV-106"].facts["sent"]
        and any("policy: deny" in line for line in of["INV-106"].journal)
        and of["INV-106"].paid == [],
        "a mail that wants the rent twice got it once": [p["iban"] for p in of["INV-107"].paid]
        == ["DE89370400440532013000"],
        "what the clerk may not do, the agent did not do for him": of["INV-105"].paid == []
        and "self_made" in of["INV-105"].facts,
        "a worker was killed in the payment, which was made once": [p["cents"] for p in killed.paid] == [4500]
        and killed.facts["asked_to_pay"] == 1,
        "a stolen token is worth nothing": (thief["again"], thief["swapped"]) == (401, 401),
        "the auditor needs a bundle and a key, and sees what was changed": (
            audit["verified"],
            audit["by_itself"],
        )
        == (0, 0)
        and audit["changed"] == 1
        and [fault["run"] for fault in audit["found"]["faults"]] == ["inv-102"]
        and audit["page"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Invoices paid for a clerk, by an agent that can prove it.")
    parser.add_argument("--yes", action="store_true", help="do not wait for Enter before it begins")
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument("--keep", type=Path, default=Path(".payables"), help="folder for all that it leaves")
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
        input("The demo plays Ann, Bob and some others. Enter begins. ")
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
            print(f"    {entry[:120]}")
        for paid in story["paid"]:
            print(f"    ► {paid['cents'] / 100:,.2f} to {paid['iban']}, for {paid['for']}")
        print()
    for what, holds in summary["checks"].items():
        print("✓" if holds else "✗", what)
    print(f"\nLook further:  cd {folder}; perdure audit who-did pay; open auditor/bundle/index.html")


if __name__ == "__main__":
    sys.exit(main())
