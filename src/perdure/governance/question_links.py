"""The links in notices to the page of one question: signed, for a while, and for looking alone.

    https://perdure.example.org/q/TENANT, RUN, STEP, PERSON, UNTIL . HMAC

To follow one shows the question, and answers nothing: previews and scanners of mail follow every link. Whoever answers
there confirms it with a passkey of the person whom the notice was for, or signs in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.ids import DEFAULT_TENANT
from .notices import Notice

if TYPE_CHECKING:
    from ..journal import Store

__all__ = ["PATH", "QuestionLink", "QuestionLinks"]

PATH = "/q/"
_LONGEST = 4000
_LASTS = 3 * 86_400_000_000
"""Microseconds. The question itself may be over before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLink:
    """What a link was made for."""

    tenant: str
    run: str
    step: str
    person: str | None
    """whose mailbox it went to; None: that of several"""
    until: int
    """microseconds, the store's clock"""


class QuestionLinks:
    """Makes and reads them: any server and any worker of a store."""

    def __init__(
        self, store: Store, *, url: str | None, settings: Callable[[], ApprovalSettings] = ApprovalSettings
    ) -> None:
        """`url`: that of the server; None: it cannot be reached from elsewhere, and no link is made."""
        self._store = store
        self._url = url
        self._settings = settings

    async def of(self, notice: Notice, tenant: str, contact: str, *, now: int) -> str | None:
        """For a notice that asks somebody; None: it asks nothing, or there is no server."""
        asks = notice.kind.startswith("approval.") and notice.kind != "approval.outcome"
        if self._url is None or not asks or notice.step is None:
            return None
        people = [name for name, to in self._settings().people.items() if to == contact]
        told = [tenant, notice.run, notice.step, people[0] if len(people) == 1 else None, now + _LASTS]
        text = pydantic_core.to_json(told)
        return f"{self._url.rstrip('/')}{PATH}{_letters(text)}.{_letters(await self._mac(text))}"

    async def read(self, token: str, *, now: int) -> QuestionLink | None:
        """What a link is for; None: nobody made it, or it is too old."""
        body, dot, mac = token.partition(".")
        if not dot or len(token) > _LONGEST:
            return None
        try:
            text = _bytes(body)
            if not hmac.compare_digest(_bytes(mac), await self._mac(text)):
                return None
        except (binascii.Error, ValueError):
            return None
        tenant, run, step, person, until = self._told(text)
        if now >= until:
            return None
        return QuestionLink(tenant=tenant, run=run, step=step, person=person, until=until)

    @staticmethod
    def _told(text: bytes) -> list[Any]:
        return pydantic_core.from_json(text)  # ours: it was signed

    async def _mac(self, text: bytes) -> bytes:
        # Of one tenant for all: whoever sends a link shall not choose the key that it is looked at with.
        key = await self._store.tenant_key(DEFAULT_TENANT)
        return hmac.digest(key, b"perdure question link\0" + text, "sha256")


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(letters: str) -> bytes:
    return base64.b64decode(letters + "=" * (-len(letters) % 4), altchars=b"-_", validate=True)
