"""The OpenAI Agents SDK: its agents in a run."""

__all__: list[str] = []
