"""Commands about what agents know from elsewhere: MCP servers."""

__all__: list[str] = []
