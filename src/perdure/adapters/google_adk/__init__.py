"""Google's ADK: its agents in a run."""

__all__: list[str] = []
