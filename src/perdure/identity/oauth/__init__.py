"""OAuth, as a client: how a user's tokens are got, renewed and taken back. Knows neither runs nor where they are kept.

Needs the extra `vault`.
"""

from .client import Authorization, Device, OAuthClient
from .discovery import Endpoints
from .loopback import Loopback
from .registration import Identity
from .tokens import Tokens, missing_scopes
from .web import Web

__all__ = [
    "Authorization",
    "Device",
    "Endpoints",
    "Identity",
    "Loopback",
    "OAuthClient",
    "Tokens",
    "Web",
    "missing_scopes",
]
