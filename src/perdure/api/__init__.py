"""The JSON API, `/api/v1`: an ASGI application over an app, behind a gate.

    request ─► limits ─► gate: who asks ─► the router of its noun ─► the app
                  └──────────┴─────────────────┴──► a problem (RFC 9457), by `problems`

A router file per noun. Each works in its caller's tenant only: another tenant's id is not there (404).
"""

from .api import api
from .limits import Limits

__all__ = ["Limits", "api"]
