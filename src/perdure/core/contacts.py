"""Contacts: whom notices go to, by webhook or by mail, and who is next where nobody answers.

    [contacts.desk]
    webhook = "https://hooks.example.com/desk"
    secret_env = "DESK_SECRET"          # what it is signed with
    ack_within = "PT15M"                # not acknowledged by then:
    then = "owner"                      # it goes to that one

    [contacts.owner]
    email = "owner@example.com"

    [smtp]
    host = "mail.example.com"
    sender = "perdure@example.com"
    user = "perdure"
    password_env = "SMTP_PASSWORD"

Secrets are named here and stand in the environment: none of them reaches a journal, a log or this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .errors import ConfigError
from .table import read_table

__all__ = ["Contact", "Contacts", "Smtp"]

DEFAULT = "default"
"""The contact of notices that name none; where there is no such, the only one or the first."""


class Contact(BaseModel):
    """Somebody who is told: a webhook or a mailbox."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: str | None = None
    """an `http` or `https` address that takes a POST of JSON"""
    secret_env: str | None = None
    """the environment's variable that holds the secret by which the webhook is signed (`whsec_...`, or any text)"""
    email: str | None = None
    ack_within: timedelta | None = Field(default=None, gt=timedelta())
    """how long an escalation may stay without an acknowledgement; None: for ever"""
    then: str | None = None
    """the contact that it goes to after that; None: an alarm in the log"""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.email is None):
            raise ValueError("give one of `webhook` and `email`; a second way is a second contact")
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("the webhook's address begins with `https://` or `http://`")
        if self.email is not None and ("@" not in self.email or any(c in self.email for c in "\r\n,")):
            raise ValueError("that is no mail address")
        if self.secret_env is not None and self.webhook is None:
            raise ValueError("`secret_env` is of a webhook: mails are not signed")
        return self


class Smtp(BaseModel):
    """The server that sends mail to contacts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` only where the way to the server is safe by itself"""
    sender: str
    """the address that mails come from"""
    user: str | None = None
    password_env: str | None = None
    """the environment's variable that holds the password of `user`"""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("`user` and `password_env` go together")
        if self.user is not None and self.security == "none":
            raise ValueError('a password is not sent in the clear: set `security = "starttls"` or "tls"')
        return self


@dataclass(frozen=True, slots=True)
class Contacts:
    """All contacts of an app. Raises `ConfigError` where they do not fit together."""

    by_name: Mapping[str, Contact] = field(default_factory=dict[str, Contact])
    smtp: Smtp | None = None

    def __post_init__(self) -> None:
        for name, contact in self.by_name.items():
            if contact.then is not None and contact.then not in self.by_name:
                known = ", ".join(f"`{n}`" for n in self.by_name)
                raise ConfigError(
                    f"contact `{name}`: `then = {contact.then}` is no contact; there are {known}"
                )
            if contact.then is not None and contact.ack_within is None:
                raise ConfigError(f"contact `{name}`: `then` needs `ack_within`, which says when")
            if contact.email is not None and self.smtp is None:
                raise ConfigError(f"contact `{name}` is a mailbox: say in `[smtp]` which server sends mail")

    @classmethod
    def read(cls, given: Contacts | Mapping[str, Contact | Mapping[str, Any]], *, where: str) -> Contacts:
        """From contacts by name, each as it stands in its table. Raises `ConfigError` that names the setting."""
        if isinstance(given, Contacts):
            return given
        return cls(
            {
                name: read_table(Contact, one, where=f"{where}, contact `{name}`")
                for name, one in given.items()
            }
        )

    def find(self, name: str | None) -> tuple[str, Contact] | None:
        """The contact of that name; None: the default one. None where there is no such."""
        if name is None:
            name = DEFAULT if DEFAULT in self.by_name else next(iter(self.by_name), None)
        contact = None if name is None else self.by_name.get(name)
        return None if name is None or contact is None else (name, contact)
