"""The stage `credential` of the boundary: for one call a tool gets the account of the user for whom the run acts.

    ask the source ─┬─ granted ─► VERDICT (provider, subject, version of the grant) with the INTENT ─► call
        ▲           └─ no grant ─► WAITING (with whom, which scopes, how to connect), and the cell `wanted_grant`
        └── message `connected`, a resume, a replay ◄──┘

The journal never holds the secret. It is asked for anew for each attempt, by each worker, and after each wait; so a
credential that was renewed meanwhile is the one that is used. There is no other account to fall back on: a run of
nobody, or of a user who has granted nothing, gets none.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.clock import to_micros
from ...core.credentials import Credential, Wanted
from ...core.errors import ConfigError, NeedsConnection, Refused
from ...journal import Amendment, Cell, CellKey, Change, Entry, Kind, WaitReason
from ..delegation import delegation_of
from ..replay.control import Finish
from .call import Call, Way
from .handing import CLIENTS, handed_parameters
from .rejection import rejections, scopes_for, version_for
from .revocation import let_pass
from .stages import Admission, Part, pause

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from .terms import Access
    from .tool import Tool

__all__ = ["WANTED_GRANT", "forget_at_end", "lend", "lent_to"]

log = logging.getLogger("perdure.run")

STAGE = "credential"

WANTED_GRANT = "wanted_grant"
"""The kind of the cells by which whoever stores a grant finds the runs that wait for it.

Their names begin with `PROVIDER/SUBJECT/RUN/`; their data is JSON with `provider`, `subject`, `scopes`, `agent`, `run`,
`step`. Such a run is woken by a message of the kind `connected` with the step's key as its name.
"""

LONGEST_NAME = 900
"""Bytes of a cell's name; of a longer one the step is hashed."""


async def lend(call: Call, way: Way, trail: list[Entry], admission: Admission) -> None:
    """Put what the tool is handed into the admission; where the user has no account, wait until there is one.

    Raises `NeedsConnection` where nobody can connect, or nobody did in time, and `ConfigError` without a source.
    """
    assert way.tool is not None
    tool, boundary = way.tool, call.recorder.boundary
    if call.effect == "read":  # all else is looked at beside its intent
        await let_pass(call, tool.name)
    credential: Credential | None = None
    parts = [part for part in admission.parts if not _is_grant(part)]
    if way.terms.credential is not None:
        lending = _Lending(call, tool.name, way.terms.credential, trail)
        credential = await lending.credential()
        parts.append(
            _granted(
                call,
                tool.name,
                **lending.whose(),
                version=credential.version,
                expires_at=credential.expires_at,
            )
        )
    handed, put_down = _equipped(call, tool, tool.handed, credential)
    if (audience := _audience(tool)) is not None:
        owner = boundary.minting(tool.name).owner(call.recorder.ref.tenant, boundary.agent, boundary.version)
        whom = delegation_of(call.recorder, trust_domain=owner.agent.trust_domain)
        told = {"audience": audience, "subject": whom.subject, "agent": str(owner.agent)}
        parts.append(_granted(call, tool.name, **told, version=owner.version))
    admission.parts[:] = parts
    admission.handed, admission.put_down = handed, put_down


@asynccontextmanager
async def lent_to(
    call: Call, tool: Tool[..., Any], function: Callable[..., Any]
) -> AsyncGenerator[dict[str, Any]]:
    """What a tool's `verify` is handed beside its arguments. It waits for nobody: raises `NeedsConnection`."""
    parameters = handed_parameters(function)
    if set(parameters.values()) <= {"key"}:
        yield {}
        return
    credential = None
    if tool.terms.credential is not None:
        credential = await _Lending(call, tool.name, tool.terms.credential, []).ask()
    handed, put_down = _equipped(call, tool, parameters, credential)
    try:
        yield handed
    finally:
        if put_down is not None:
            await put_down()


def _granted(call: Call, tool: str, **told: Any) -> Part:
    said = {"stage": STAGE, "verdict": "granted", "tool": tool, **told}
    return int(Kind.VERDICT), call.key, pydantic_core.to_json(said), call.mark


def _audience(tool: Tool[..., Any]) -> str | None:
    return None if tool.terms.outbound is None else tool.terms.outbound.audience


def _equipped(
    call: Call, tool: Tool[..., Any], parameters: Mapping[str, str], credential: Credential | None
) -> tuple[dict[str, Any], Callable[[], Awaitable[None]] | None]:
    """What a function with these parameters is handed, and what takes it back."""
    handed: dict[str, Any] = {name: credential for name, kind in parameters.items() if kind == "credential"}
    clients = {name: kind for name, kind in parameters.items() if kind in CLIENTS}
    if not clients:
        return handed, None
    from ..outbound.equipment import equip

    made, put_down = equip(call, tool, clients, credential)
    return handed | made, put_down


def forget_at_end(recorder: Recorder, key: str, trail: Sequence[Entry]) -> None:
    """Where the step waited when its worker left, and is now told that the run was cancelled, nobody waits any more."""
    last = trail[-1] if trail else None
    if last is None or last.kind != Kind.WAITING:
        return
    told: dict[str, Any] = pydantic_core.from_json(last.payload)
    if told.get("on") == WaitReason.NEEDS_CONNECTION:
        cell = CellKey(recorder.ref.tenant, WANTED_GRANT, told["cell"])
        recorder.at_end[key] = lambda _: [_forgotten(cell)]


def _forgotten(cell: CellKey) -> Amendment:
    return Amendment([cell], lambda _cells, _now: ({cell: None}, None))


def _is_grant(part: Part) -> bool:
    told: dict[str, Any] = pydantic_core.from_json(part[2])
    return told.get("stage") == STAGE


class _Lending:
    """One call's way to a credential."""

    def __init__(self, call: Call, tool: str, access: Access, trail: list[Entry]) -> None:
        self.call = call
        self.tool = tool
        self.access = access
        self.trail = trail
        self.recorder = call.recorder
        source = call.recorder.boundary.rules.credentials
        if source is None:
            raise ConfigError(
                f"tool `{tool}` needs a credential of `{access.provider}`, and this app keeps none: "
                "`App(credentials=...)` takes whatever does"
            )
        self.source = source
        rejected = rejections(trail, access)
        self.scopes = scopes_for(access, rejected)
        principal = call.recorder.on_behalf_of
        if principal is None or not principal.verified:
            whose = (
                "acts for nobody" if principal is None else f"acts for `{principal.subject}` by hearsay only"
            )
            raise self._missing(
                "",
                f"`{tool}` uses an account with `{access.provider}`, and the run {whose}: start it with "
                "`on_behalf_of=`, the user's token or a `Principal`. A shared account is never taken instead",
            )
        subject = principal.subject
        self.wanted = Wanted(
            tenant=call.recorder.ref.tenant,
            subject=subject,
            provider=access.provider,
            scopes=self.scopes,
            agent=call.recorder.boundary.agent,
            run=call.recorder.ref.id,
            step=call.key,
            rejected=version_for(rejected),
        )
        self.cell = CellKey(self.wanted.tenant, WANTED_GRANT, _name(self.wanted))

    def whose(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "provider": self.access.provider,
            "subject": self.wanted.subject,
            "scopes": self.scopes,
        }

    async def ask(self) -> Credential:
        """The credential as it is now. Raises `NeedsConnection`."""
        found = await self.source.credential(self.wanted)
        self.recorder.knows(found.reveal(), f"credential of {found.provider}")
        if (found.subject, found.provider) != (self.wanted.subject, self.wanted.provider):
            raise Refused(
                f"`{self.tool}` was not called: asked for the credential of `{self.wanted.subject}` with "
                f"`{self.wanted.provider}`, the source gave that of `{found.subject}` with `{found.provider}`"
            )
        return found

    async def credential(self) -> Credential:
        """The credential, as soon as there is one."""
        waiting = self._standing()
        while True:
            try:
                found = await self.ask()
            except NeedsConnection as missing:
                if not _can_connect(self.wanted.subject):
                    raise
                if waiting is None:
                    # A grant may come right now, and whoever stores it look for those who wait before this one does:
                    # so it is looked for once more when that can be read.
                    waiting = await self._open(str(missing))
                    continue
                message = await self._wait(waiting["due"])
                if message is None:
                    self._close("expired", None)
                    raise self._missing(
                        self.wanted.subject,
                        f"`{self.tool}` was not called: {self.wanted.subject} has connected no account with "
                        f"`{self.access.provider}` in time. To connect one: `{waiting['connect']}`",
                    ) from missing
                self._close("connected", message)
                waiting = None
            else:
                if waiting is not None:
                    self._close("connected", None)
                return found

    # waiting -----------------------------------------------------------------------------------------------------

    def _standing(self) -> dict[str, Any] | None:
        """The WAITING with which this very step asks, where it is open."""
        for entry in reversed(self.trail):
            if entry.kind in (Kind.WAITING, Kind.VERDICT):
                told: dict[str, Any] = pydantic_core.from_json(entry.payload)
                if told.get("stage") == STAGE:
                    return None
                if told.get("on") == WaitReason.NEEDS_CONNECTION:
                    return told if told["cell"] == self.cell.name and told["tool"] == self.tool else None
        return None

    async def _open(self, why: str) -> dict[str, Any]:
        recorder, within = self.recorder, self.access.within
        told = {
            "on": WaitReason.NEEDS_CONNECTION,
            "name": self.call.key,
            "tool": self.tool,
            **self.whose(),
            "connect": _command(self.wanted),
            "why": why[:1000],
            "due": None if within is None else recorder.store.now() + to_micros(within),
            "cell": self.cell.name,
        }
        data = pydantic_core.to_json(
            {
                **self.whose(),
                "agent": self.wanted.agent,
                "run": self.wanted.run,
                "step": self.wanted.step,
                "since": recorder.store.now(),
                **({} if self.wanted.rejected is None else {"newer_than": self.wanted.rejected}),
            }
        )
        kept = Amendment([self.cell], lambda _cells, _now: ({self.cell: Cell(data)}, None))
        recorder.write(
            Kind.WAITING,
            self.call.key,
            pydantic_core.to_json(told),
            fingerprint=self.call.mark,
            change=Change(amendments=(kept,)),
        )
        self.trail.append(recorder.last)
        await recorder.barrier()
        log.info(
            "run %s: step `%s` waits for %s to connect an account with `%s`: `%s`",
            recorder.ref, self.call.key, self.wanted.subject, self.access.provider, told["connect"],
        )  # fmt: skip
        return told

    async def _wait(self, due: int | None) -> Entry | None:
        """Until somebody says that the user has connected: that message; None: the time is over."""
        recorder, key = self.recorder, self.call.key
        told = recorder.at_end.get(key)

        def ended(entry: Entry) -> Sequence[Amendment]:  # the run was cancelled: nobody waits any more
            return [*(() if told is None else told(entry)), _forgotten(self.cell)]

        recorder.at_end[key] = ended
        try:
            return await pause(self.call, WaitReason.NEEDS_CONNECTION, due)
        except (asyncio.CancelledError, Finish) as left:
            if recorder.halted is None and (isinstance(left, Finish) or recorder.is_cut(self.call.scope)):
                self._close("withdrawn", None)
            raise
        finally:
            if told is None:
                recorder.at_end.pop(key, None)
            else:
                recorder.at_end[key] = told

    def _close(self, verdict: str, message: Entry | None) -> None:
        told: dict[str, Any] = {"stage": STAGE, "verdict": verdict, "tool": self.tool, **self.whose()}
        if message is not None:
            told["from"] = message.seq
        self.recorder.write(
            Kind.VERDICT,
            self.call.key,
            pydantic_core.to_json(told),
            fingerprint=self.call.mark,
            change=Change(amendments=(_forgotten(self.cell),)),
        )
        self.trail.append(self.recorder.last)

    def _missing(self, subject: str, why: str) -> NeedsConnection:
        error = NeedsConnection(why)
        error.provider, error.subject, error.scopes = self.access.provider, subject, self.scopes
        return error


def _can_connect(subject: str) -> bool:
    """Whether somebody is there who could connect an account: nobody is behind a system or an agent."""
    return not subject.startswith(("system:", "agent:", "schedule:"))


def _command(wanted: Wanted) -> str:
    """How the user connects."""
    parts = ["perdure", "connect", wanted.provider, "--user", wanted.subject.removeprefix("user:")]
    return " ".join(shlex.quote(part) for part in parts)


def _name(wanted: Wanted) -> str:
    whole = f"{wanted.provider}/{wanted.subject}/{wanted.run}/{wanted.step}".replace("\0", "")
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    step = hashlib.sha256(whole.encode()).hexdigest()
    return (
        f"{wanted.provider}/{wanted.subject}/{wanted.run}/".encode()[:LONGEST_NAME].decode(errors="ignore")
        + step
    )
