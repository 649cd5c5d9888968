"""The port of whatever keeps credentials, under the name that identity knows it by; see `core.credentials`."""

from __future__ import annotations

from ..core.credentials import Credential, CredentialSource, Wanted

__all__ = ["Credential", "CredentialSource", "Wanted"]
