"""Where providers are, and where client libraries look for that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...core.errors import ConfigError
from .exchange import PROVIDERS, ProviderName

__all__ = ["UPSTREAMS", "addresses"]

UPSTREAMS: Mapping[ProviderName, tuple[str, tuple[str, ...], str]] = {
    "openai": ("/v1", ("OPENAI_BASE_URL", "OPENAI_API_BASE"), "https://api.openai.com/v1"),
    "anthropic": ("", ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"), "https://api.anthropic.com"),
    "gemini": ("", ("GOOGLE_GEMINI_BASE_URL",), "https://generativelanguage.googleapis.com"),
    "vertex": ("", ("GOOGLE_VERTEX_BASE_URL",), ""),
}
"""Of each: what its address ends with, the variables in which client libraries look for it (those after the first are
LangChain's, which changes what it does where they are set), and where it is if nobody says otherwise."""


def addresses(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[ProviderName, str]:
    """Of each provider that can be reached. Raises `ConfigError`."""
    unknown = sorted(given.keys() - set(PROVIDERS))
    if unknown:
        raise ConfigError(f"`{unknown[0]}` is no provider that can be recorded: {', '.join(PROVIDERS)}")
    found: dict[ProviderName, str] = {}
    for provider, (_, names, usual) in UPSTREAMS.items():
        asked = (given.get(provider), *(environ.get(name) for name in names))
        address = next((a for a in asked if a), usual)
        if not address:
            continue
        if not re.match(r"https?://[^/\s]+", address):
            raise ConfigError(
                f"the address `{address}` of `{provider}` is not of the form `https://HOST/PATH`"
            )
        found[provider] = address.rstrip("/")
    return found
