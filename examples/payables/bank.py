"""The bank: a service of somebody else, that knows nothing of Perdure but how to verify a call.

    python bank.py ISSUER [INVOICE]       prints its address as JSON; keeps its answer for INVOICE to itself, once

It pays once for each run and step, and answers 401 to whatever is not a call of an agent that ISSUER vouches for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from perdure import verify

CLERKS = {"user:ann"}
AGENT = "/agent/payables"


class Bank:
    def __init__(self, holds: str = "") -> None:
        self.payments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        """the run and step of each request to pay, repeated ones too"""
        self.seen: list[dict[str, str]] = []
        """what a thief would find in this bank's log: each request as it came"""
        self.holds = holds
        self.held = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/books":  # for the demo, which looks behind the counter
            told = {
                "payments": self.payments,
                "asked": self.asked,
                "seen": self.seen,
                "held": self.held.is_set(),
            }
            await answer(send, 200, told)
            return
        caller: verify.Caller = scope["perdure.caller"]
        body = (await receive())["body"]
        if not caller.agent.endswith(AGENT) or caller.subject not in CLERKS:
            await answer(send, 403, {"title": f"{caller.subject} has no account here"})
        elif scope["method"] == "POST":
            await self.pay(caller, json.loads(body), scope, body, send)
        else:
            asked = parse_qs(scope["query_string"].decode())
            found = [
                p for p in self.payments if p["run"] == caller.run and p["invoice"] == asked["invoice"][0]
            ]
            await answer(send, 200, found[0] if found else None)

    async def pay(
        self, caller: verify.Caller, asked: dict[str, Any], scope: Any, body: bytes, send: Any
    ) -> None:
        key = f"{caller.run}/{caller.step}"
        self.asked.append(key)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(
            {"authorization": headers["authorization"], "dpop": headers["dpop"], "body": body.decode()}
        )
        if "payments:write" not in caller.scope:
            await answer(send, 403, {"title": "the token does not allow to pay"})
            return
        paid = next((p for p in self.payments if p["key"] == key), None)
        if paid is None:
            paid = {
                "payment": f"P-{len(self.payments) + 1}",
                **asked,
                "key": key,
                "run": caller.run,
                "for": caller.subject,
                "agent": caller.agent,
                "version": caller.version,
            }
            self.payments.append(paid)
        if asked["invoice"] == self.holds and not self.held.is_set():
            self.held.set()
            await asyncio.sleep(60)
        await answer(send, 200, paid)


async def answer(send: Any, status: int, told: Any) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(issuer: str, holds: str = "") -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    guarded = verify.ASGI(Bank(holds), audience=url, issuers=[issuer], public=["/books"])
    print(json.dumps({"url": url}), flush=True)
    server = uvicorn.Server(
        uvicorn.Config(guarded, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    asyncio.run(server.serve(sockets=[listening]))


if __name__ == "__main__":
    main(*sys.argv[1:])
