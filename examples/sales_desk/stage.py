"""What the demo puts around the desk: a mail server, and workers that can be killed."""

from __future__ import annotations

import asyncio
import mailbox
import os
import signal
import sys
import time
from collections.abc import Mapping
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope
from pydantic import BaseModel

HERE = Path(__file__).resolve().parent


class Accepted(BaseModel):
    """A line of the mail server's own log."""

    at: int
    message_id: str
    to: str
    subject: str


class PostOffice:
    """A real SMTP server on loopback. It delivers into a Maildir, which is what `was_sent` looks into.

    Until `answer` is set it accepts one mail and does not say so, and lets the others wait at the door: the moment in
    which nobody but the server knows which mail was sent and which was not.
    """

    def __init__(self, folder: Path) -> None:
        self._sent = mailbox.Maildir(folder / "sent-mail")
        self._log = folder / "smtp.jsonl"
        self._server: asyncio.Server | None = None
        self.accepted: list[Accepted] = []
        self.callers = 0
        """who wanted to send a mail so far"""
        self.answer = asyncio.Event()
        self.port = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="localhost", loop=loop), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_MAIL(
        self, server: SMTP, session: object, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.callers += 1
        if self.callers > 1:
            await self.answer.wait()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = message_from_bytes(content)
        mail = Accepted(
            at=time.time_ns() // 1000,
            message_id=str(message["Message-ID"]),
            to=", ".join(envelope.rcpt_tos),
            subject=str(message["Subject"]),
        )
        self._sent.add(content)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(mail.model_dump_json() + "\n")
        self.accepted.append(mail)
        await self.answer.wait()
        return "250 accepted"


class Worker:
    """A worker process, as `perdure worker` starts it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, log: Path) -> None:
        self.number = number
        self.log = log
        self.pid = process.pid
        self.started_at = time.time_ns() // 1000
        self.ended_at: int | None = None
        self.killed = False
        self._process = process

    @classmethod
    async def start(cls, number: int, environment: Mapping[str, str], store: str, folder: Path) -> Worker:
        command = [
            sys.executable,
            "-m",
            "perdure.cli",
            "worker",
            str(HERE / "agents.py:app"),
            "--store",
            store,
        ]
        path = folder / f"worker-{number}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return cls(number, process, path)

    @property
    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.returncode

    @property
    def ready(self) -> bool:
        """It has said that it works: from then on it can be asked to stop."""
        return b"drives" in self.log.read_bytes()

    async def kill(self) -> None:
        """SIGKILL: no handler, no flush, no goodbye."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self.ended_at = time.time_ns() // 1000
        self.killed = True

    async def stop(self) -> int:
        """SIGTERM: it finishes or releases what it has, and exits 0."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                await self.kill()
        self.ended_at = self.ended_at or time.time_ns() // 1000
        assert self._process.returncode is not None
        return self._process.returncode

    def end_now(self) -> None:
        """For a demo that is interrupted: leave nothing behind."""
        if self._process.returncode is None:
            self._process.kill()
