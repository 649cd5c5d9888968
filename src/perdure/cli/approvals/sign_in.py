"""A sign-in with the company's provider as the signature of one answer: in a browser of this machine."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, ProviderRefused
from ..runs.steer import operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...core.identity_settings import TrustedIssuer
    from ...journal import Approval
    from ..command import Cli

__all__ = ["SignIn", "signed_in"]

SignIn = Annotated[
    str | None,
    typer.Option(
        "--sign-in",
        metavar="ISSUER",
        help="Sign in for this answer, in place of a key: as `[approvals.issuers]` calls it.",
    ),
]


async def signed_in(
    cli: Cli,
    name: str,
    question: Approval,
    by: str | None,
    *,
    approved: bool,
    reason: str | None,
    arguments: Mapping[str, Any] | None,
) -> tuple[str, dict[str, Any]]:
    """Who answers, and the proof. Raises `ConfigError`, `ProviderError`."""
    from ...runtime.approval.proof import answer_statement

    issuers = cli.settings.approvals.issuers
    issuer = issuers.get(name)
    if issuer is None:
        known = ", ".join(f"`{one}`" for one in issuers) or "none"
        raise ConfigError(f"`[approvals.issuers]` has no `{name}`; there are: {known}")
    named = operator(by)
    who = named if ":" in named else f"user:{named}"
    iat = int(time.time())
    said = answer_statement(
        question, by=who, approved=approved, reason=reason, arguments=arguments, iat=iat, kid=None
    )
    within = cli.settings.approvals.signed_within.total_seconds()
    return who, {"token": await _token(cli, name, issuer, said.hash, within), "iat": iat}


async def _token(cli: Cli, name: str, issuer: TrustedIssuer, nonce: str, within: float) -> str:
    """The ID token of whoever signs in now, with that `nonce`."""
    try:
        from ...core.provider_settings import ProviderSettings
        from ...identity.oauth import Loopback, OAuthClient
    except ModuleNotFoundError as error:
        raise ConfigError(f'a sign-in needs `{error.name}`: `pip install "perdure[vault]"`') from error

    settings = ProviderSettings(
        issuer=issuer.url,
        client_id=issuer.audience[0],
        scopes=("openid",),
        parameters={"nonce": nonce, "max_age": "0"},
    )
    client = OAuthClient(name, settings)
    async with Loopback(port=settings.redirect_port, path=settings.redirect_path) as loopback:
        begun = await client.authorize(loopback.redirect_uri)
        waiting = asyncio.ensure_future(loopback.came_back(begun.state))
        cli.note("Sign in here, for this answer:")
        cli.err.print(begun.url, soft_wrap=True, highlight=False, markup=False)
        if not cli.json:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(begun.url,), daemon=True).start()
        try:
            async with asyncio.timeout(within):
                tokens = await client.exchange(begun, await waiting)
        except TimeoutError:
            raise ProviderRefused(
                f"nobody signed in within {within:g} s; answer anew", code="timeout"
            ) from None
    if tokens.id_token is None:
        raise ProviderRefused(f"`{issuer.url}` gave no ID token; is that an OpenID Connect provider?")
    return tokens.id_token
