"""The pages by which people come in, and go: they are for strangers, so they stand outside of all rooms."""

from .pages import away, sign_in_routes

__all__ = ["away", "sign_in_routes"]
