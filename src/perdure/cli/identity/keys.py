"""`perdure identity init|ls|show|rotate|revoke|publish`: the agents' names and keys; `revocations` has the rest."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, UnknownAgent
from ..command import Cli, command
from ..runs.steer import By
from ..tree import identity
from .revocations import AgentName, Reason, RunId, User, revoke_all

if TYPE_CHECKING:
    from ...identity import AgentKey, Keyring
    from ...identity.broker import Broker

__all__: list[str] = []

Agent = Annotated[str, typer.Argument(metavar="AGENT[@VERSION]", help="All its versions, if none is named.")]


@command(identity, "init")
def init(cli: Cli) -> None:
    """Make the master key that seals the agents' keys. One that is there already stays."""
    from ...identity import MasterKeys

    path = cli.settings.identity.master_key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = True
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        MasterKeys.open(path)  # says what is wrong with it
        made = False
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{MasterKeys.new()}\n")
    if cli.json:
        cli.answer({"master_key": str(path), "made": made})
        return
    cli.out.print(f"{'made' if made else 'there already'}: {path}", soft_wrap=True)
    if made:
        cli.note("Keep a copy elsewhere, and keep it out of version control: without it no key opens.")
    if cli.settings.identity.trust_domain is None:
        cli.note('Now say who vouches, in perdure.toml:\n\n[identity]\ntrust_domain = "agents.example.org"\n')


@command(identity, "ls")
def ls(cli: Cli) -> None:
    """List the agent versions that have keys."""
    rings = _broker(cli).rings()
    if cli.json:
        cli.answer([_told(ring) for ring in rings])
        return
    if not rings:
        cli.note("no agent has a key yet: `perdure identity rotate AGENT@VERSION` makes one")
        return
    from ..display.screen import listing

    rows: list[list[Any]] = []
    for ring in rings:
        keys = ring.published()
        signs = ring.signing()
        rows.append(
            [
                str(ring.owner.agent),
                ring.owner.version,
                signs.kid[:12],
                _time(signs.signs_from),
                str(len(keys)),
            ]
        )
    headings = ("agent", "version", "signs with", "since", "published")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((0, 0),), right=(4,)))


@command(identity, "show")
def show(cli: Cli, agent: Agent) -> None:
    """Show an agent's name, and its keys as the world sees them."""
    found = _rings(cli, _broker(cli), agent)
    if cli.json:
        cli.answer([_told(ring) for ring in found])
        return
    for ring in found:
        cli.out.print(f"{ring.owner.agent}  version {ring.owner.version}", soft_wrap=True)
        signs = ring.signing().kid
        for key in ring.published():
            state = (
                "signs"
                if key.kid == signs
                else ("signs soon" if key.signs_from > _now() else "signed before")
            )
            cli.out.print(f"  {key.kid}  {state}, from {_time(key.signs_from)}", soft_wrap=True)


@command(identity, "rotate")
def rotate(
    cli: Cli,
    agent: Agent,
    now: Annotated[
        bool, typer.Option("--now", help="Sign with it at once, before verifiers have fetched it.")
    ] = False,
) -> None:
    """Add a key that signs after ten minutes; the old one stays published until no token of it is left."""
    broker = _broker(cli)
    options = {"lead": 0.0} if now else {}
    made: list[tuple[Keyring, AgentKey]] = [
        (ring, ring.rotate(**options)) for ring in _rings(cli, broker, agent, new=True)
    ]
    if cli.json:
        cli.answer([{**_told(ring), "made": key.kid} for ring, key in made])
        return
    for ring, key in made:
        named = f"{ring.owner.agent}@{ring.owner.version}"
        cli.out.print(f"{named}: {key.kid} signs from {_time(key.signs_from)}", soft_wrap=True)
    cli.note("`perdure identity publish FOLDER` writes the key set, where it is served from files")


@command(identity, "revoke")
async def revoke(
    cli: Cli,
    of: Annotated[
        str | None, typer.Argument(metavar="AGENT[@VERSION]", help="Whose key; all its versions' keys count.")
    ] = None,
    kid: Annotated[str | None, typer.Argument(metavar="KEY", help="Its id, or how it begins.")] = None,
    agent: AgentName = None,
    run: RunId = None,
    user: User = None,
    reason: Reason = "",
    by: By = None,
) -> None:
    """Stop an agent, a run or a user's runs at their next effect (`--agent`, `--run`, `--user`); or take back a key.

    A key is taken out of the key set at once; what was signed by it is good no more.
    """
    if of is None:
        await revoke_all(cli, {"agent": agent, "run": run, "user": user}, by=by, reason=reason)
        return
    if kid is None or agent or run or user:
        raise ConfigError(
            f"`perdure identity revoke {of} KEY` takes back a key, `perdure identity revoke --agent {of}` stops the "
            "agent"
        )
    for ring in _rings(cli, _broker(cli), of):
        matching = [key for key in ring.published() if key.kid.startswith(kid)]
        if len(matching) > 1:
            raise ConfigError(f"`{kid}` begins {len(matching)} keys; say more of it")
        if matching and ring.revoke(matching[0].kid):
            cli.done(f"{matching[0].kid}: revoked", {**_told(ring), "revoked": matching[0].kid})
            return
    raise UnknownAgent(f"`{of}` has no key `{kid}`; `perdure identity show {of}` lists them")


@command(identity, "publish")
def publish(
    cli: Cli,
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write them; shown, if it is not named.")
    ] = None,
) -> None:
    """The documents by which anybody can check a token: discovery, and the key set."""
    broker = _broker(cli)
    documents = broker.documents()
    if folder is None:
        cli.answer(documents)
        return
    for name, document in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    cli.done(
        f"{folder}: {len(documents)} documents; serve them below {broker.issuer_url}",
        {"folder": str(folder), "issuer": broker.issuer_url, "documents": list(documents)},
    )


def _broker(cli: Cli) -> Broker:
    from ...identity.broker import Broker

    return Broker.open(cli.settings.identity)


def _rings(cli: Cli, broker: Broker, agent: str, *, new: bool = False) -> list[Keyring]:
    """The keys of an agent's versions. `new`: a version that has none yet may be named."""
    name, _, version = agent.partition("@")
    tenant = cli.tenant()
    found = [
        ring
        for ring in broker.rings()
        if ring.owner.agent.tenant == tenant
        and ring.owner.agent.agent == name
        and version in ("", ring.owner.version)
    ]
    if not found and new and version:
        return [broker.ring(broker.owner(tenant, name, version))]
    if not found:
        raise UnknownAgent(
            f"agent `{agent}` has no keys; `perdure identity ls` lists who has, `perdure identity rotate "
            f"{name}@{version or 'VERSION'}` makes one"
        )
    return found


def _told(ring: Keyring) -> dict[str, Any]:
    signs = ring.signing().kid
    return {
        "agent": str(ring.owner.agent),
        "version": ring.owner.version,
        "signs": signs,
        "keys": [
            {**key.public(), "created_at": key.created_at, "signs_from": key.signs_from}
            for key in ring.published()
        ],
    }


def _now() -> float:
    return datetime.now(UTC).timestamp() * 1e6


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
