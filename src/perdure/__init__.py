"""Perdure: the production runtime for AI agents."""

__all__: list[str] = []
