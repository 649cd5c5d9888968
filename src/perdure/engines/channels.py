"""How a notice leaves: a signed webhook, or a mail. Blocking: called in a thread."""

from __future__ import annotations

import os
import smtplib
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, NoReturn

import pydantic_core

from ..core.clock import from_micros
from ..core.contacts import Contact, Contacts, Smtp
from ..core.errors import ConfigError
from ..core.webhooks import signature
from ..governance.notices import Notice

__all__ = ["send"]

SECONDS = 15.0
"""How long a receiver may take."""

MOST_BODY = 30_000
"""Characters of text in one notice."""


def send(
    contacts: Contacts,
    name: str,
    notice: Notice,
    *,
    tenant: str,
    at: int,
    link: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Deliver to the contact `name`; `at` is the time in microseconds, `link` leads to what is asked.

    Raises what the receiver's side raises, and `ConfigError` where a secret is not in the environment.
    """
    contact = contacts.by_name[name]
    if link is not None:
        notice = _with_link(notice, link)
    if contact.webhook is not None:
        _post(contact, name, notice, tenant=tenant, at=at, environment=environment)
    else:
        assert contacts.smtp is not None and contact.email is not None
        _mail(contacts.smtp, contact.email, notice, tenant=tenant, at=at, environment=environment)


def _with_link(notice: Notice, link: str) -> Notice:
    """The same, with where it can be looked at; Slack draws a link of it."""
    blocks = notice.blocks
    if blocks is not None:
        button = {"type": "section", "text": {"type": "mrkdwn", "text": f"<{link}|Look at it>"}}
        blocks = [*blocks, button]
    return replace(notice, body=f"{notice.body}\n\n{link}" if notice.body else link, blocks=blocks)


def payload(notice: Notice, name: str, *, tenant: str) -> bytes:
    """What a webhook says. `text` and `blocks` are what Slack's incoming webhooks take."""
    told: dict[str, Any] = {
        "id": notice.id,
        "type": notice.kind,
        "tenant": tenant,
        "run": notice.run,
        "step": notice.step,
        "to": name,
        "subject": notice.subject,
        "text": f"{notice.subject}\n\n{notice.body}"[:MOST_BODY] if notice.body else notice.subject,
        "acknowledge": notice.ack,
        "passed": list(notice.passed),
        "created_at": from_micros(notice.created).isoformat(),
    }
    if notice.blocks is not None:
        told["blocks"] = notice.blocks
    return pydantic_core.to_json(told)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a contact has moved to is for its owner to say."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _post(
    contact: Contact, name: str, notice: Notice, *, tenant: str, at: int, environment: Mapping[str, str]
) -> None:
    body = payload(notice, name, tenant=tenant)
    timestamp = at // 1_000_000
    headers = {
        "content-type": "application/json",
        "user-agent": "perdure",
        "webhook-id": notice.id,
        "webhook-timestamp": str(timestamp),
    }
    if contact.secret_env is not None:
        secret = _secret(environment, contact.secret_env, f"contact `{name}`")
        headers["webhook-signature"] = signature(secret, id=notice.id, timestamp=timestamp, body=body)
    assert contact.webhook is not None
    request = urllib.request.Request(contact.webhook, data=body, headers=headers, method="POST")
    with _opener.open(request, timeout=SECONDS) as answer:
        answer.read(1000)


def _mail(
    smtp: Smtp, to: str, notice: Notice, *, tenant: str, at: int, environment: Mapping[str, str]
) -> None:
    message = EmailMessage()
    message["From"] = Address(addr_spec=smtp.sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = " ".join(notice.subject.split())[:250]
    message["Date"] = format_datetime(from_micros(at))
    message["Message-ID"] = f"<{notice.id}@perdure>"
    message["X-Perdure-Run"] = f"{tenant}/{notice.run}"
    message.set_content((notice.body or notice.subject)[:MOST_BODY])
    context = ssl.create_default_context()
    connect: Any = smtplib.SMTP_SSL if smtp.security == "tls" else smtplib.SMTP
    tls = {"context": context} if smtp.security == "tls" else {}
    with connect(smtp.host, smtp.port, timeout=SECONDS, **tls) as server:
        if smtp.security == "starttls":
            server.starttls(context=context)
        if smtp.user is not None and smtp.password_env is not None:
            server.login(smtp.user, _secret(environment, smtp.password_env, "[smtp]"))
        server.send_message(message)


def _secret(environment: Mapping[str, str], name: str, of: str) -> str:
    secret = environment.get(name)
    return secret if secret else _absent(name, of)


def _absent(name: str, of: str) -> NoReturn:
    raise ConfigError(f"{of}: the variable `{name}` is not set in this process's environment; set it there")
