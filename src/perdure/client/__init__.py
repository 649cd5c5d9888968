"""Clients of a server's API, and what goes over the wire between them."""

__all__: list[str] = []
