"""How things look in a terminal: consoles and tables, questions, entries as lines, a run drawn along its time."""

__all__: list[str] = []
