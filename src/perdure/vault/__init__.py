"""Users' credentials: what they have granted, sealed, renewed, and handed out for one call at a time.

Needs the extra `vault`. What it stands on: `identity.oauth` talks to providers, `identity.sealing` seals, cells keep.
"""

from .connecting import connect_browser, connect_device
from .grants import Grant
from .sealed import Place
from .vault import Connected, Revoked, Vault

__all__ = ["Connected", "Grant", "Place", "Revoked", "Vault", "connect_browser", "connect_device"]
