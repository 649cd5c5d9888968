"""Commands about a project: its scaffold, the demo, agents and tools, checks, torture, recordings."""

__all__: list[str] = []
