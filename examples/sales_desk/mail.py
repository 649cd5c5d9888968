"""Sending a mail, and finding out whether it was sent: plain functions over smtplib and a Maildir."""

from __future__ import annotations

import hashlib
import mailbox
import smtplib
from email.message import EmailMessage
from pathlib import Path

from shapes import Draft

from perdure import NotDone

SENDER = "Robin Pike <robin@harrow-pike.example>"
PATIENCE = 3.0
"""seconds for the mail server to answer"""


def message_id(key: str) -> str:
    """The same for every attempt at one mail, because the key is."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:24]}@harrow-pike.example>"


def send(draft: Draft, key: str, server: str) -> str:
    """Hand a mail to the server; returns its Message-ID. Raises `NotDone` where the server refused it."""
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = draft.to
    message["Subject"] = draft.subject
    message["Message-ID"] = message_id(key)
    message.set_content(draft.body)
    host, _, port = server.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=PATIENCE) as smtp:
            smtp.send_message(message)
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refused:
        # The server said no, so it has nothing: that is an answer, and not a doubt.
        raise NotDone(f"the mail server refused the mail to {draft.to}: {refused}") from refused
    return message["Message-ID"]


def is_there(key: str, sent: Path) -> bool:
    """Whether the mail server has the mail of this key."""
    if not sent.exists():
        return False
    wanted = message_id(key)
    return any(message["Message-ID"] == wanted for message in mailbox.Maildir(sent, create=False))
