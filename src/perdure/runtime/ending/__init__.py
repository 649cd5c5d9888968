"""How a run ends: by its function (`root`), its own word, a check; what was undone, and what became of it."""

__all__: list[str] = []  # modules of this room are imported whole
