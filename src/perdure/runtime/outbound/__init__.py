"""The way out of a tool: clients that reach only what their tool may reach, with the user's account or a token."""

__all__: list[str] = []
