"""Agents of other frameworks: their turns and tools as steps (`crossing`), and what their tools do (`declared`)."""

__all__: list[str] = []  # modules of this room are imported whole
