"""`python examples/desk_of_three/demo.py`: four tickets for a desk over three MCP servers, and what came of each.

    python examples/desk_of_three/demo.py [--yes] [--json] [--keep FOLDER] [--files COMMAND]

It starts a model server and the ticket server on loopback, and a worker, which it kills in the middle of a reply. All
that it leaves is in `.desk_of_three/`. With `--files "npx -y @modelcontextprotocol/server-filesystem"` the contracts
are read by the server of files that is on npm, instead of a small one that is here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from perdure.testing import Stage

HERE = Path(__file__).resolve().parent
MARK = "# made by examples/desk_of_three/demo.py, which empties it\n*\n"

SETTINGS = """\
app = "{here}/desk.py:app"
store = "sqlite:///perdure.db"
policies = "{here}/policies"
lease = 2       # seconds, so that a killed worker's runs are taken over while you watch

[approvals.groups]
leads = ["ann"]

[mcp.tickets]   # what stands in a ticket its customer has written: untrusted
url = "{tickets}"

[mcp.tickets.tools.get_ticket]
effect = "read"

[mcp.tickets.tools.reply]
effect = "idempotent"   # it recognises a reply by its key

[mcp.crm]
command = "{python}"
args = ["{here}/servers/crm.py", "{folder}", "{here}/contracts"]
trusted = true

[mcp.files]
command = "{files}"
args = {arguments}
trusted = true
"""


async def run(folder: Path, files: list[str]) -> dict[str, Any]:
    os.chdir(folder)  # where `perdure.toml` is
    async with Stage(folder) as stage:
        told = await stage.serve(str(HERE / "servers" / "tickets.py"), str(folder), name="tickets")
        command, *arguments = [*files, str(HERE / "contracts")]
        settings = SETTINGS.format(
            here=HERE, folder=folder, python=sys.executable, tickets=told["url"], files=command,
            arguments=json.dumps(arguments),
        )  # fmt: skip
        (folder / "perdure.toml").write_text(settings, encoding="utf-8")
        stage.environment |= await stage.model_server(HERE / "script.toml")
        os.environ.update(stage.environment)
        from desk import app
        from stories import Office, judge, play

        try:
            stories = await play(Office(app, stage, folder))
        finally:
            await app.close()
    checks = judge({story.name: story for story in stories})
    return {
        "ok": all(checks.values()),
        "checks": checks,
        "stories": {story.name: story.model_dump() for story in stories},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="A support desk over three MCP servers.")
    parser.add_argument("--yes", action="store_true", help="do not wait for Enter before it begins")
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument(
        "--keep", type=Path, default=Path(".desk_of_three"), help="folder for all that it leaves"
    )
    parser.add_argument(
        "--files", default="", help="command of another server of files; the folder is added to it"
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
        input("The demo plays the customers, and Ann, who leads the desk. Enter begins. ")
    options.keep.mkdir(parents=True)
    mark.write_text(MARK, encoding="utf-8")
    files = shlex.split(options.files) or [sys.executable, str(HERE / "servers" / "files.py")]
    try:
        summary = asyncio.run(run(options.keep.resolve(), files))
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
        print(f"{name}: {story['status']}, {'solved' if story['solved'] else 'not solved'}")
        for step in story["steps"]:
            print(f"    {step}")
        for reply in story["replies"]:
            print(f"    ► {reply}")
        print()
    for what, holds in summary["checks"].items():
        print("✓" if holds else "✗", what)
    print(f"\nLook further:  cd {folder}; perdure runs ls; perdure runs show T-2; perdure mcp ls crm")


if __name__ == "__main__":
    sys.exit(main())
