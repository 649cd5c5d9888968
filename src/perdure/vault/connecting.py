"""Connecting an account: in the user's browser, or on another device of theirs.

A web application does the first by itself, with its own address to come back to: `client.authorize(redirect_uri)`,
then `client.exchange(begun, came_to)`, then `vault.connect(...)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core.clock import Clock, SystemClock
from ..core.errors import ProviderRefused, ProviderUnavailable
from ..identity.oauth import Authorization, Device, Loopback, Tokens
from .vault import Connected, Vault

__all__ = ["connect_browser", "connect_device"]

PATIENCE_SECONDS = 600.0
LONGEST_PAUSE = 60.0


async def connect_browser(
    vault: Vault,
    tenant: str,
    subject: str,
    provider: str,
    *,
    tell: Callable[[Authorization], None],
    scopes: Sequence[str] = (),
    by: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Connected:
    """Have the user agree in a browser of this machine. `tell` opens or shows the address.

    Raises `ProviderRefused` where they did not, or not within `patience` seconds.
    """
    client, settings = vault.client(provider), vault.provider(provider)
    async with Loopback(port=settings.redirect_port, path=settings.redirect_path) as loopback:
        asked = await vault.scopes_to_ask(tenant, subject, provider, scopes)
        begun = await client.authorize(loopback.redirect_uri, asked)
        waiting = asyncio.ensure_future(loopback.came_back(begun.state))
        tell(begun)
        try:
            async with asyncio.timeout(patience):
                came_to = await waiting
        except TimeoutError:
            raise ProviderRefused(
                f"nobody came back from `{provider}` within {patience:g} s; begin anew", code="timeout"
            ) from None
        tokens = await client.exchange(begun, came_to)
    return await vault.connect(tenant, subject, provider, tokens, by=by)


async def connect_device(
    vault: Vault,
    tenant: str,
    subject: str,
    provider: str,
    *,
    tell: Callable[[Device], None],
    scopes: Sequence[str] = (),
    by: str | None = None,
    clock: Clock | None = None,
) -> Connected:
    """Have the user agree on another device (RFC 8628). `tell` shows them the code and the address.

    Raises `ProviderRefused` where they did not, or not in time.
    """
    clock, client = clock or SystemClock(), vault.client(provider)
    begun = await client.device(await vault.scopes_to_ask(tenant, subject, provider, scopes))
    tell(begun)
    while True:
        await clock.wait(asyncio.Event(), until=clock.micros() + int(begun.interval * 1e6))
        if clock.micros() >= begun.expires_at:
            raise ProviderRefused(f"nobody agreed to the code of `{provider}` in time", code="expired_token")
        try:
            answer = await client.poll(begun)
        except ProviderUnavailable:
            answer = min(LONGEST_PAUSE, begun.interval * 2)  # RFC 8628, 3.5
        if isinstance(answer, Tokens):
            return await vault.connect(tenant, subject, provider, answer, by=by)
        begun = replace(begun, interval=answer)
