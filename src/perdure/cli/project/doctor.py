"""`perdure doctor`: what could be wrong with this machine, these settings, this app and this store."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ...core.errors import ConfigError, PerdureError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import root
from .doctor_sources import tool_sources

if TYPE_CHECKING:
    from ...db.maintenance import Maintenance
    from ...journal import Store

__all__ = ["Finding"]

OLDEST_NOW = 1_767_225_600
"""2026-01-01: a clock before this release is wrong."""

SPARE_BYTES = 100 * 1024 * 1024, 1024 * 1024 * 1024
"""Less free space fails, or is warned of."""


STRANDED_MICROS = 10_000_000
"""What no worker has served for longer is warned of: less is how long a deploy takes."""


LATE_MICROS = 60_000_000
"""A worker brings heads of runs into the audit log within a second."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: Literal["ok", "warn", "fail"]
    found: str
    do: str = ""
    """what to do about it"""


@command(root, "doctor", rich_help_panel="Care")
async def doctor(
    cli: Cli,
    runs: Annotated[
        int, typer.Option("--runs", min=0, help="How many of the newest journals to verify.")
    ] = 20,
    contacts: Annotated[
        bool, typer.Option("--contacts", help="Send every contact a test, which says that it is one.")
    ] = False,
) -> int:
    """Check Python, settings, app, store, disk and clock; each line says what to do. Exit 1 where one fails."""
    findings: list[Finding] = []
    async for finding in _examine(cli, runs):
        findings.append(finding)
        if not cli.json:
            _print(cli, finding)
    async for finding in _contacts(cli) if contacts else _nothing():
        findings.append(finding)
        if not cli.json:
            _print(cli, finding)
    failed = sum(f.state == "fail" for f in findings)
    if cli.json:
        told = [{"check": f.what, "state": f.state, "found": f.found, "do": f.do or None} for f in findings]
        cli.answer({"ok": not failed, "checks": told})
    return Exit.NOT_SO if failed else Exit.OK


def _print(cli: Cli, finding: Finding) -> None:
    from rich.text import Text

    from ...views.words import safe

    style = {"ok": "green", "warn": "yellow", "fail": "bold red"}[finding.state]
    line = Text.assemble((f"{finding.state:<5}", style), (f"{finding.what:<10}", "bold"), safe(finding.found))
    cli.out.print(line, soft_wrap=True)
    if finding.do:
        cli.out.print(Text(f"{'':<15}{safe(finding.do)}", style="dim"), soft_wrap=True)


async def _examine(cli: Cli, runs: int) -> AsyncIterator[Finding]:
    from ...db.maintenance import maintenance_of

    yield _python()
    yield _sqlite()
    settings = _attempt("settings", lambda: _settings(cli))
    yield settings
    if settings.state == "fail":
        return
    yield _attempt("app", lambda: _app(cli))
    if (approvers := _approvers(cli)) is not None:
        yield approvers
    if cli.settings.providers:
        yield _vault(cli)
    async for finding in _memory(cli):
        yield finding
    try:
        url = cli.store_url()
    except PerdureError as error:
        yield Finding("store", "fail", str(error), "mend the app, or name the store: --store URL")
        return
    if url == "memory://":
        yield Finding("store", "warn", f"{url} keeps nothing", "set `store` to a `sqlite:///PATH`")
        return
    try:
        store = maintenance_of(url)
    except PerdureError as error:
        yield Finding("store", "fail", str(error), "name the store: --store URL")
        return
    found = _file(Path(store.name), store) if url.startswith("sqlite:") else _database(store)
    there = False
    try:
        for finding in found:
            there = finding.state != "fail"
            yield finding
        there = there and store.exists()
    finally:
        store.close()
    if there:
        async for finding in _journals(cli, runs):
            yield finding
        async for finding in _servers(cli):
            yield finding
        async for what, state, found, do in tool_sources(cli):
            yield Finding(what, state, found, do)
    else:
        yield _clock(None)
    if url.startswith("sqlite:"):
        yield _disk(Path(store.name))


def _attempt(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except PerdureError as error:
        return Finding(what, "fail", str(error))


def _python() -> Finding:
    found = f"{sys.version.split()[0]} on {sys.platform}"
    if sys.platform not in ("linux", "darwin"):
        return Finding("python", "warn", found, "Linux and macOS are what Perdure is tested on")
    return Finding("python", "ok", found)


def _sqlite() -> Finding:
    import apsw

    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < (3, 51, 3):
        return Finding(
            "sqlite", "fail", f"{version} can corrupt a WAL that several processes use", "pip install -U apsw"
        )
    return Finding("sqlite", "ok", version)


def _settings(cli: Cli) -> Finding:
    from ...core.settings import shown_url

    made = ", ".join(
        f"{name}={shown_url(str(getattr(cli.settings, name)))}"
        for name in sorted(cli.settings.model_fields_set)
    )
    file = cli.given.config or Path("perdure.toml")
    where = f"{file}" if file.exists() else "no perdure.toml here; defaults"
    return Finding("settings", "ok", f"{where}{f': {made}' if made else ''}")


def _approvers(cli: Cli) -> Finding | None:
    """Whether those who are to answer have a key, where only signed answers count."""
    from ...core.people import person

    found = cli.settings.approvals
    if found.signing != "required":
        return None
    able = {person(name) for name, keys in found.keys.items() if any(k.revoked_at is None for k in keys)}
    asked = dict.fromkeys([name for members in found.groups.values() for name in members])
    without = [name for name in (*asked, *found.keys) if person(name) not in able]
    if without:
        said = ", ".join(f"`{name}`" for name in dict.fromkeys(without[:5]))
        do = "perdure approvers keygen --user NAME; its line goes under [approvals.keys]"
        return Finding("approvers", "warn", f"answers are signed, and no key is good of {said}", do)
    return Finding("approvers", "ok", f"answers are signed, by {len(able)} people")


def _vault(cli: Cli) -> Finding:
    """Whether users' credentials could be sealed and renewed: nobody hears of it before the first one ends."""
    providers = cli.settings.providers
    try:
        from ...identity import MasterKeys
        from ...vault.secrets import client_secret

        master = MasterKeys.open(cli.settings.identity.master_key)
        for name, provider in providers.items():
            client_secret(name, provider, lambda: master)
    except ModuleNotFoundError as error:
        return Finding("vault", "fail", f"`{error.name}` is not there", 'pip install "perdure[vault]"')
    except PerdureError as error:
        return Finding("vault", "fail", str(error))
    return Finding("vault", "ok", f"{', '.join(providers)}; master key {master.ids[0]}")


async def _servers(cli: Cli) -> AsyncIterator[Finding]:
    """How MCP servers are, as whoever used one last has found it. None is asked, or started."""
    try:
        async with cli.opened() as app:
            known, found = app.mcp.settings, await app.mcp.standings()
    except PerdureError:
        return  # said already
    for name in sorted({*known} & {*found}):
        one = found[name]
        if one.state == "lost":
            yield Finding(
                "mcp", "warn", f"`{name}` was lost: {one.why}", f"`perdure mcp ls {name}` starts it"
            )
        else:
            yield Finding("mcp", "ok", f"`{name}` answers")


async def _memory(cli: Cli) -> AsyncIterator[Finding]:
    """The server of sessions, and the model of embeddings, where there are any."""
    from ...app import App
    from .memory_check import meaning, sessions_server

    try:
        app = cli.load_app() if cli.target() is not None else App("memory://", memory=cli.settings.memory)
    except PerdureError:
        return  # said already
    for looked in (sessions_server(app), meaning(app)):
        async for state, found, do in looked:
            yield Finding("memory", state, found, do)


def _app(cli: Cli) -> Finding:
    if cli.target() is None:
        return Finding("app", "warn", "none is named", "set `app` in perdure.toml; `perdure init` writes one")
    try:
        app = cli.load_app()
    except ConfigError as error:
        return Finding("app", "fail", str(error), "`perdure -v agents ls` shows the traceback")
    agents = ", ".join(f"{name} v{version}" for name, version in app.agents)
    if not agents:
        return Finding("app", "warn", f"{app.target} registers no agent", "write `@app.agent(...)`")
    undeclared = [t.name for t in app.tools.values() if not t.declared]
    if undeclared:
        do = 'declare them: @app.tool(effect="read" | "idempotent" | "write", verify=...)'
        return Finding(
            "app", "warn", f"{app.target}: {agents}; tools without an effect: {', '.join(undeclared)}", do
        )
    return Finding("app", "ok", f"{app.target}: {agents}")


def _database(store: Maintenance) -> Iterator[Finding]:
    try:
        have, newest = store.versions()
        if have == 0:
            yield Finding("store", "ok", f"`{store.name}` has no tables yet: the first run makes them")
            return
        faults = store.faults(quick=True)
    except PerdureError as error:
        yield Finding("store", "fail", str(error))
        return
    if have != newest:
        yield _other_version(have, newest)
    elif faults:
        yield Finding("store", "fail", f"`{store.name}`: {'; '.join(faults)}", "see docs/postgresql.md")
    elif store.restored() is not None:
        yield _restored(store)
    else:
        yield Finding(
            "store", "ok", f"`{store.name}`, PostgreSQL {store.info().server}, schema version {have}"
        )


def _other_version(have: int, newest: int) -> Finding:
    if have > newest:
        return Finding(
            "store", "fail", f"schema version {have}; this release knows {newest}", "upgrade Perdure"
        )
    return Finding(
        "store", "fail", f"schema version {have}; this release needs {newest}", "perdure db migrate"
    )


def _restored(store: Maintenance) -> Finding:
    from ...db.restored import restored_words

    words = restored_words(store.restored() or "")
    return Finding("store", "fail", f"`{store.name}` {words}: no worker begins", "perdure db restored")


def _file(path: Path, store: Maintenance) -> Iterator[Finding]:
    if not path.parent.is_dir():
        yield Finding("store", "fail", f"there is no folder `{path.parent}`", f"mkdir -p {path.parent}")
        return
    if not path.exists():
        writable = os.access(path.parent, os.W_OK)
        state: Literal["ok", "fail"] = "ok" if writable else "fail"
        do = "" if writable else f"let this user write to `{path.parent}`"
        yield Finding("store", state, f"`{path}` is not there yet: the first run makes it", do)
        return
    try:
        have, newest = store.versions()
        faults = store.faults(quick=True)
    except PerdureError as error:
        yield Finding("store", "fail", str(error))
        return
    if faults:
        yield Finding("store", "fail", f"`{path}` is damaged: {faults[0]}", "restore it from a backup")
    elif have != newest:
        yield _other_version(have, newest)
    elif store.restored() is not None:
        yield _restored(store)
    elif not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        do = "SQLite writes files beside its own: the user needs to write to the folder too"
        yield Finding("store", "fail", f"`{path}` or its folder cannot be written by this user", do)
    else:
        yield Finding("store", "ok", f"`{path}`, schema version {have}, sound")


async def _journals(cli: Cli, runs: int) -> AsyncIterator[Finding]:
    from ...engines.stranded import why_stranded
    from ...journal import RunQuery, RunStatus, unserved
    from ...views.words import short_span
    from ..store.database import verify_runs

    try:
        async with cli.opened() as app:
            await app.store.recover()  # a write: the disk must take it
            checked, entries, wrong = await verify_runs(app, tenant=None, limit=runs)
            held = RunQuery(statuses=frozenset({RunStatus.QUARANTINED}), limit=100)
            quarantined = [str(r.ref) for r in await app.store.find(held)]
            waiting = RunQuery(reason="in_doubt", statuses=frozenset({RunStatus.WAITING}), limit=100)
            doubtful = [str(r.ref) for r in await app.store.find(waiting)]
            pending = RunQuery(statuses=frozenset({RunStatus.PENDING}), limit=1000)
            due = [r.next_wake for r in await app.store.find(pending) if r.next_wake]
            newest = await app.store.find(RunQuery(limit=1))
            sessions = await app.store.sessions()
            stranded = unserved(await app.store.demands(counted=True), sessions) if sessions else []
            now = app.store.now()
            audit = await _audit(app.store, now)
    except PerdureError as error:
        yield Finding("journals", "fail", str(error))
        return
    if wrong:
        yield Finding(
            "journals", "fail", f"{len(wrong)} of {checked} are broken: {wrong[0][1]}", "restore a backup"
        )
    else:
        yield Finding("journals", "ok", f"the newest {checked} runs, {entries} entries: every chain holds")
    if quarantined:
        do = "perdure quarantine ls"
        yield Finding("runs", "warn", f"in quarantine: {', '.join(quarantined[:5])}", do)
    if doubtful:
        do = f"perdure runs show {doubtful[0]}"
        yield Finding("runs", "warn", f"a write is in doubt: {', '.join(doubtful[:5])}", do)
    for demand, reason in stranded:
        waited = now - (demand.since or now)
        if waited > STRANDED_MICROS:
            found = f"{demand.runs} due for {short_span(waited)}: {why_stranded(demand, reason)}"
            yield Finding("workers", "warn", found, "perdure workers ls")
    if audit is not None:
        yield audit
    late = max((now - at for at in due), default=0)
    if late > 60_000_000:
        yield Finding("workers", "warn", f"a run has been due for {short_span(late)}", "perdure worker")
    yield _clock(newest[0].updated_at if newest else None)


async def _audit(store: Store, now: int) -> Finding | None:
    """What is late of the audit log; None: nothing."""
    from ...engines.exporter import exports
    from ...views.words import short_span

    for name, state in (await exports(store)).items():
        if state.get("error"):
            return Finding("audit log", "fail", f"{name}: {state['error']}", "perdure audit status")
    lag = await store.log_lag()
    late = now - (lag.since or now)
    if lag.runs and late > LATE_MICROS:
        found = f"it has not seen the heads of {lag.runs} runs for {short_span(late)}"
        return Finding("audit log", "warn", found, "perdure worker, or `perdure audit sequence`")
    return None


async def _nothing() -> AsyncIterator[Finding]:
    for finding in ():
        yield finding


async def _contacts(cli: Cli) -> AsyncIterator[Finding]:
    """Each contact, by a notice that is marked as a test."""
    from ...app import App

    try:
        app = cli.load_app() if cli.target() is not None else App("memory://")
        if not app.contacts.by_name:
            app.contacts = cli.settings.all_contacts()
    except PerdureError as error:
        yield Finding("contacts", "fail", str(error))
        return
    if not app.contacts.by_name:
        do = "name them in [contacts] of perdure.toml: until then escalations reach nobody"
        yield Finding("contacts", "warn", "there are none", do)
    for name, wrong in (await app.try_contacts()).items():
        if wrong is None:
            yield Finding("contacts", "ok", f"`{name}` took a test")
        else:
            yield Finding("contacts", "fail", f"`{name}` cannot be reached: {wrong}", "mend it in [contacts]")


def _clock(last: int | None) -> Finding:
    now = time.time()
    if now < OLDEST_NOW:
        return Finding("clock", "fail", f"this machine thinks it is {time.ctime(now)}", "set its clock (NTP)")
    if last is not None and last / 1e6 > now + 60:
        ahead = int(last / 1e6 - now)
        return Finding(
            "clock",
            "warn",
            f"the store was written {ahead} s in the future",
            "set this machine's clock (NTP)",
        )
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)))


def _disk(path: Path) -> Finding:
    folder = next(p for p in path.parents if p.is_dir())
    free = shutil.disk_usage(folder).free
    least, better = SPARE_BYTES
    state: Literal["ok", "warn", "fail"] = "fail" if free < least else "warn" if free < better else "ok"
    do = "" if state == "ok" else "free some: without room runs stop, and go on when there is"
    return Finding("disk", state, f"{free / 1e9:.1f} GB free at `{folder}`", do)
