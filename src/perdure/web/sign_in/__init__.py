"""The pages by which people come in, and go: they are for strangers, so they stand outside of all rooms."""

from .pages import away, sign_in_routes
from .terminal import TERMINAL

__all__ = ["TERMINAL", "away", "sign_in_routes"]
