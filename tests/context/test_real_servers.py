"""S19 to S21, and kill -9, with MCP servers that others have written.

Each is listed, reviewed, and called across the boundary. What dies in the middle of a call is a real server, or a real
worker; what it was doing is a commit in a real repository, which can be counted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import App, ConfigError, Refused, Run, RunFailed
from tests.faults.processes import Nursery, Site, kinds, until
from tests.faults.programs import committing

from .real_servers import OLDER, of_npm, of_pypi

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

Setup = Callable[[Path], dict[str, Any]]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    made = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def repository(folder: Path) -> Path:
    """One with a commit, and something that waits to be committed."""
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "Ann")
    git(folder, "config", "user.email", "ann@example.org")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    (folder / "refund.txt").write_text("A-1")
    git(folder, "add", ".")
    return folder


async def reviewed(app: App, server: str) -> list[str]:
    found = await app.mcp.ls(server)
    await app.mcp.review(server, {t.name: t.now for t in found if t.now is not None}, by="ann")
    return [t.name for t in found]


def caller(app: App) -> None:
    @app.agent("calls")
    async def calls(run: Run, given: list[Any]) -> dict[str, Any]:
        server, tool, arguments = given
        found = await run.call((await app.mcp.tools(run, server))[tool], **arguments)
        return {"text": found.text, "structured": found.structured, "failed": found.failed}


def files(folder: Path) -> dict[str, Any]:
    (folder / "note.txt").write_text("the customer likes tea")
    return of_npm("filesystem", str(folder))


SERVERS: list[tuple[str, Setup, str, Callable[[Path], dict[str, Any]], str]] = [
    ("everything", lambda _: of_npm("everything"), "get-sum", lambda _: {"a": 2, "b": 3}, "is 5"),
    ("filesystem", files, "read_text_file", lambda f: {"path": str(f / "note.txt")}, "likes tea"),
    (
        "filesystem-outside",
        files,
        "read_text_file",
        lambda _: {"path": "/etc/passwd"},
        "outside allowed directories",
    ),
    (
        "memory",
        lambda _: of_npm("memory"),
        "search_nodes",
        lambda _: {"query": "nobody"},
        "entities",
    ),
    (
        "thinking",
        lambda _: of_npm("sequential-thinking"),
        "sequentialthinking",
        lambda _: {"thought": "a", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
        "thoughtHistoryLength",
    ),
    (
        "git",
        lambda f: of_pypi("git", "--repository", str(repository(f / "repo"))),
        "git_log",
        lambda f: {"repo_path": str(f / "repo")},
        "first",
    ),
    (
        "time",
        lambda _: of_pypi("time"),
        "get_current_time",
        lambda _: {"timezone": "Europe/Berlin"},
        "Europe/Berlin",
    ),
    # of its own accord it goes to no private address; that it was called, and answered, is what counts here
    ("fetch", lambda _: of_pypi("fetch"), "fetch", lambda _: {"url": "http://127.0.0.1:1/"}, "127.0.0.1"),
]


@pytest.mark.parametrize(
    ("server", "tool", "arguments", "said"), [s[1:] for s in SERVERS], ids=[s[0] for s in SERVERS]
)
async def test_s20_nothing_is_offered_before_its_review_and_then_it_is_called(
    tmp_path: Path,
    server: Setup,
    tool: str,
    arguments: Callable[[Path], dict[str, Any]],
    said: str,
) -> None:
    app = App("memory://", mcp={"theirs": server(tmp_path)})
    caller(app)

    @app.agent("tries")
    async def tries(run: Run) -> str:
        try:
            (await app.mcp.tools(run, "theirs"))[tool]
        except Refused as refused:
            return str(refused)
        return "offered"

    async with app:
        assert f"no reviewed tool `{tool}`" in await (await app.start(tries)).result()
        assert tool in await reviewed(app, "theirs")
        assert await (await app.start(tries)).result() == "offered"
        run = await app.start("calls", ["theirs", tool, arguments(tmp_path)])
        answer = await run.result()
        assert said in json.dumps(answer)
        told = kinds(await run.entries(), f"theirs__{tool.replace('.', '_')}")
    assert told == ["intent", "result"]  # a write, as nobody vouches for it


async def test_s19_a_newer_version_of_a_real_server_is_refused_until_it_is_reviewed(tmp_path: Path) -> None:
    app = App(
        "sqlite:///" + str(tmp_path / "p.db"),
        mcp={"files": of_npm("filesystem", str(tmp_path), version=OLDER)},
    )
    (tmp_path / "note.txt").write_text("the customer likes tea")
    caller(app)
    asked = ["files", "read_text_file", {"path": str(tmp_path / "note.txt")}]
    async with app:
        await reviewed(app, "files")
        assert "likes tea" in json.dumps(await (await app.start("calls", asked)).result())
    # the server is updated, as by `npm update`
    app = App("sqlite:///" + str(tmp_path / "p.db"), mcp={"files": files(tmp_path)})
    caller(app)
    async with app:
        changed = {t.name: t.changes for t in await app.mcp.ls("files") if t.state == "changed"}
        assert "annotations" in changed["read_text_file"]  # it says by now that it only reads
        failed = await app.start("calls", asked)
        with pytest.raises(Exception, match="has changed since it was reviewed"):
            await failed.result()
        assert "unknown" not in kinds(await failed.entries())  # nothing was sent
        await reviewed(app, "files")
        assert "likes tea" in json.dumps(await (await app.start("calls", asked)).result())


async def test_s21_a_tool_of_the_app_does_not_hide_one_of_a_real_server(tmp_path: Path) -> None:
    app = App("memory://", mcp={"files": files(tmp_path)})

    @app.tool(name="files__read_text_file")
    async def mine(path: str) -> str:
        return path

    async with app:
        with pytest.raises(ConfigError, match="two tools have the name `files__read_text_file`"):
            await app.mcp.ls("files")


async def test_an_effect_that_a_vouched_for_server_says_of_its_tools(tmp_path: Path) -> None:
    app = App("memory://", mcp={"files": {**files(tmp_path), "trusted": True}})
    async with app:
        effects = {t.name: t.effect for t in await app.mcp.ls("files")}
    assert effects["read_text_file"] == "read" and effects["write_file"] == "idempotent"
    assert effects["move_file"] == "write"


def held(repo: Path, hook: str) -> None:
    """A commit stops at its hook: it says who has asked for it, and goes on when somebody lets it."""
    file = repo / ".git" / "hooks" / hook
    begun, go = repo.parent / "begun", repo.parent / "go"
    file.write_text(f"#!/bin/sh\necho $PPID >> {begun}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
    file.chmod(0o755)


def commits(repo: Path, message: str) -> int:
    return git(repo, "log", "--format=%s").splitlines().count(message)


@pytest.mark.parametrize(("hook", "done"), [("pre-commit", 0), ("post-commit", 1)])
@pytest.mark.parametrize("victim", ["server", "worker"])
async def test_killed_in_the_middle_of_a_commit(tmp_path: Path, hook: str, done: int, victim: str) -> None:
    repo = repository(tmp_path / "repo")
    server = of_pypi("git", "--repository", str(repo))
    held(repo, hook)
    begun = tmp_path / "begun"
    async with (
        Nursery() as nursery,
        Site(tmp_path / "site", nursery, url=f"sqlite:///{tmp_path / 'p.db'}") as site,
    ):
        site.app.mcp.settings = dict(App("memory://", mcp={"git": server}).mcp.settings)
        await reviewed(site.app, "git")
        given = {"GIT_SERVER": server, "REPOSITORY": str(repo)}
        committing.register(site.app)
        first = await site.worker("committing", **given)
        await site.app.start("commits", "refund A-1", run_id="r")
        await until(lambda: begun.exists() and begun.read_text().strip(), "the commit has begun")
        assert commits(repo, "refund A-1") == done

        # when one of them is killed
        if victim == "server":
            os.kill(int(begun.read_text().split()[0]), signal.SIGKILL)
        else:
            first.send(signal.SIGKILL)
            await first.death()
            await site.worker("committing", **given)

        # then a human is asked, and what was done was done once
        await site.waits_for("r", "in_doubt")
        (tmp_path / "go").touch()
        told = kinds(await site.entries("r"), "git__git_commit")
        assert told[:2] == ["intent", "unknown"]
        await until(lambda: not _alive(begun), "nobody commits any more")
        assert len(begun.read_text().split()) == 1  # it was asked for once
        assert commits(repo, "refund A-1") <= 1

        # and it goes on as they say: what was done is not done again, and what was not can be
        happened = commits(repo, "refund A-1") == 1
        found = {"text": "found in the log"} if happened else None
        await site.app.settle("r", "git__git_commit", happened=happened, result=found, by="ann")
        run = await site.app.handle("r")
        if victim == "server" and not happened:  # the call had raised: what now is for the agent to say
            with pytest.raises(RunFailed, match="gave no answer"):
                await run.result()
            await (await site.app.start("commits", "refund A-1")).result()  # by a server that is started anew
        else:
            assert await run.result()
        assert commits(repo, "refund A-1") == 1


def _alive(begun: Path) -> bool:
    """Whether a process that has asked for a commit still runs."""
    for word in begun.read_text().split():
        try:
            os.kill(int(word), 0)
        except ProcessLookupError:
            continue
        stat = Path(f"/proc/{word}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z":
            return True
    return False
