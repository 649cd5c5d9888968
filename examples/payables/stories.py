"""Seven invoices, and what is done around each: what came of it, by the bank's books and not by the agent's word."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
from typing import Any

import httpx
from company import Login
from pydantic import BaseModel

from perdure import App, Entry, Handle, Kind, PrincipalRefused
from perdure.testing import OAuthServer, Stage, until_waiting

PASSPHRASE = {"PERDURE_APPROVER_PASSPHRASE": "of the demo, and of no use elsewhere"}


class Story(BaseModel):
    name: str
    status: str
    why: str
    paid: list[dict[str, Any]]
    """by the bank's books"""
    journal: list[str]
    facts: dict[str, Any] = {}


class Office:
    """The office with what is around it, as the stories use it."""

    def __init__(self, app: App, stage: Stage, login: Login, ledger: OAuthServer, bank: str) -> None:
        self.app = app
        self.stage = stage
        self.login = login
        self.ledger = ledger
        self.bank = bank
        self.worker: asyncio.subprocess.Process | None = None

    async def books(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.bank}/books")).json()

    async def clerk_pays(self, number: str, *, clerk: str = "ann", scope: str = "payments:write") -> Handle:
        """A clerk signs in, and lets the agent pay an invoice for them."""
        return await self.app.start(
            "payables", number, run_id=number.lower(), on_behalf_of=self.login.token(clerk, scope)
        )

    async def connect(self, clerk: str) -> None:
        """The clerk lets the agents use their account in the ledger: by a browser, which this is."""
        told = await self.stage.serve(
            *("-m", "perdure.cli", "--json", "connect", "ledger", "--user", f"user:{clerk}", "--no-browser"),
            name=f"connect-{clerk}",
        )
        async with httpx.AsyncClient(follow_redirects=True) as client:
            (await client.get(told["open"])).raise_for_status()
        while not await self.stage.operator("connections", "ls"):
            await self.a_moment()

    async def a_moment(self) -> None:
        """Until something has happened in the store, or a little later."""
        await self.app.store.changed(self.app.store.changes(), within=0.1)

    async def tell(self, number: str, **facts: Any) -> Story:
        """Wait for the end of a run and read it."""
        run = await self.app.handle(number.lower())
        ending = await asyncio.wait_for(run.ending(), 60)
        paid = [p for p in (await self.books())["payments"] if p["invoice"] == number]
        return Story(
            name=number,
            status=ending.status,
            why=ending.why,
            paid=paid,
            journal=[line for entry in await run.entries() for line in lines(entry)],
            facts=facts,
        )


def lines(entry: Entry) -> list[str]:
    """An entry that tells of more than that all went well."""
    told = json.loads(entry.payload or b"null")
    match Kind(entry.kind):
        case Kind.STARTED:
            about = f"on behalf of {told.get('by')}"
        case Kind.WAITING:
            about = f"for {told['on']}"
        case Kind.VERDICT:
            about = f"{told['stage']}: {told['verdict']} {told.get('why', '')}"
        case Kind.UNKNOWN:
            about = str(told["why"])
        case Kind.SETTLED:
            about = f"happened: {told['happened']}, says {told['by']}"
        case Kind.FAILED:
            about = f"{told['type'].rpartition(':')[2]}: {told['message']}"
        case _:
            return []
    return [" ".join(f"{Kind(entry.kind).name} {entry.key} {about}".split())]


async def rent(office: Office) -> Story:
    """$900 to an account of the register. Ann has not let the agents use her account in the ledger yet: it waits."""
    run = await office.clerk_pays("INV-101")
    await asyncio.wait_for(until_waiting(office.app, run, "needs_connection"), 60)
    await office.connect("ann")
    return await office.tell("INV-101")


async def machine(office: Office) -> Story:
    """$12,000: Bob has to sign. While it waits, forgers try, keys are rotated, and Ann's login at the ledger ends.

    The ledger's tokens last two seconds, so what was good when she connected is not when the run goes on.
    """
    stage = office.stage
    run = await office.clerk_pays("INV-102")
    await asyncio.wait_for(until_waiting(office.app, run, "approval"), 60)
    asked = await stage.operator("approvals", "show", "inv-102")
    yes = ("approvals", "approve", "inv-102", "--digest", asked["digest"])

    async def tries(*how: str) -> str:
        code, _, said = await stage.run("-m", "perdure.cli", *yes, *how, environment=PASSPHRASE)
        return f"{code} {said}"

    forged = {
        "unsigned": await tries("--by", "user:bob"),
        "by_another": await tries("--sign-with", "eve.key"),
        "by_the_clerk": await tries("--by", "user:ann"),
    }
    await forced(office, run, asked["digest"])
    await stage.operator("identity", "rotate", "payables@1", "--now")
    paid_before = (await office.books())["payments"]
    await stage.operator(
        *yes, "--reason", "ordered in October", "--sign-with", "bob.key", environment=PASSPHRASE
    )
    story = await office.tell("INV-102", asked=asked["show"]["arguments"], forged=forged)
    story.facts["paid_before"] = [p for p in paid_before if p["invoice"] == "INV-102"]
    story.facts["renewed"] = office.ledger.count("token", grant_type="refresh_token")
    return story


async def forced(office: Office, run: Handle, digest: str) -> None:
    """Past every courtesy, into the run's own inbox: a yes in Bob's name that Bob has not signed."""
    step = next(waiting.step for waiting in await office.app.open_approvals(run.id))
    yes = {"approved": True, "digest": digest, "arguments": None, "reason": None, "value": None}
    await office.app.post(run.id, "answer", step, json.dumps(yes).encode(), "forced", "user:bob", None)
    while not any("approval: refused" in line for entry in await run.entries() for line in lines(entry)):
        await office.a_moment()


async def hostile(office: Office) -> Story:
    """The invoice says that the account has changed. The model believes it; the policies ask Bob, who does not."""
    run = await office.clerk_pays("INV-104")
    await asyncio.wait_for(until_waiting(office.app, run, "approval"), 60)
    asked = await office.stage.operator("approvals", "show", "inv-104")
    await office.stage.operator(
        *("approvals", "reject", "inv-104", "--digest", asked["digest"]),
        *("--reason", "that is not their account", "--sign-with", "bob.key"),
        environment=PASSPHRASE,
    )
    return await office.tell("INV-104", why=asked["about"]["policy"]["why"])


async def temp(office: Office) -> Story:
    """Tim is new, and may not pay. The agent may, and so does not for him."""
    await office.clerk_pays("INV-105", clerk="tim", scope="invoices:read")
    story = await office.tell("INV-105")
    made = Login(office.stage.folder / "auditor").token("ann", "payments:write")  # he signs for himself
    try:
        await office.app.start("payables", "INV-105", on_behalf_of=made)
    except PrincipalRefused as refused:
        story.facts["self_made"] = str(refused)
    return story


async def mailed(office: Office) -> Story:
    """A mail asks for another supplier's account. The model looks it up and would send it; nothing leaves the house."""
    await office.clerk_pays("INV-106")
    story = await office.tell("INV-106")
    story.facts["sent"] = (office.stage.folder / "sent.txt").exists()
    return story


async def twice(office: Office) -> Story:
    """A mail asks for the rent twice, the second time to an account of its own. It is paid once."""
    await office.clerk_pays("INV-107")
    return await office.tell("INV-107")


async def killed(office: Office) -> Story:
    """The bank has booked and not answered: SIGKILL. Nobody but the bank knows, so it is asked."""
    assert office.worker is not None
    await office.clerk_pays("INV-103")
    while not (await office.books())["held"]:
        await office.a_moment()
    office.worker.kill()
    await office.worker.wait()
    office.worker = await office.stage.worker()
    story = await office.tell("INV-103")
    story.facts = {"asked_to_pay": sum(key.startswith("inv-103/") for key in (await office.books())["asked"])}
    return story


async def thief(office: Office) -> dict[str, Any]:
    """Somebody has read the bank's log, and sends what stands there again: as it is, and with another account."""
    seen = (await office.books())["seen"][-1]
    headers = {
        "authorization": seen["authorization"],
        "dpop": seen["dpop"],
        "content-type": "application/json",
    }
    swapped = re.sub(r'"iban":"\w+"', '"iban":"GB33BUKB20201555555555"', seen["body"])
    async with httpx.AsyncClient() as client:
        again = await client.post(f"{office.bank}/payments", content=seen["body"], headers=headers)
        other = await client.post(f"{office.bank}/payments", content=swapped, headers=headers)
    return {"again": again.status_code, "swapped": other.status_code}


async def audit(office: Office) -> dict[str, Any]:
    """The auditor gets a bundle and a key, and nothing else: no store, no settings, no network."""
    stage, elsewhere = office.stage, office.stage.folder / "auditor"
    key = (await stage.operator("audit", "key"))["key"]
    await stage.operator("audit", "checkpoint")
    await stage.operator("audit", "export", "--all", "--out", "auditor/bundle")
    who = await stage.operator("audit", "who-did", "pay")
    check = ("-m", "perdure.cli", "--json", "audit", "verify", "--export", "bundle", "--key", key)
    code, said, error = await stage.run(*check, folder=elsewhere, bare=True)
    alone = await stage.run("bundle/verify.py", folder=elsewhere, bare=True)
    shutil.copytree(elsewhere / "bundle", elsewhere / "changed")
    journal = next((elsewhere / "changed" / "runs").rglob("inv-102.jsonl"))
    journal.write_text("\n".join(embezzled(line) for line in journal.read_text("utf-8").splitlines()) + "\n")
    check = tuple("changed" if word == "bundle" else word for word in check)
    changed, found, _ = await stage.run(*check, folder=elsewhere, bare=True)
    return {
        "verified": code,
        "said": said or error,
        "by_itself": alone[0],
        "changed": changed,
        "found": json.loads(found),
        "who_did_pay": who,
        "page": (elsewhere / "bundle" / "index.html").exists(),
    }


def embezzled(line: str) -> str:
    """An entry in which a nought was added to what was paid."""
    entry = json.loads(line)
    payload = base64.b64decode(entry["payload"])
    return json.dumps(
        {**entry, "payload": base64.b64encode(payload.replace(b"1200000", b"12000000")).decode()}
    )


async def play(office: Office) -> tuple[list[Story], dict[str, Any], dict[str, Any]]:
    """All stories, then the thief, then the auditor."""
    office.worker = await office.stage.worker()
    told = [await rent(office)]
    told += await asyncio.gather(
        machine(office), hostile(office), temp(office), mailed(office), twice(office)
    )
    told.append(await killed(office))
    return told, await thief(office), await audit(office)
