"""An OAuth server on loopback, for tests of what connects accounts and uses them. Needs the extra `vault`."""

from .records import Asked
from .server import OAuthServer

__all__ = ["Asked", "OAuthServer"]
