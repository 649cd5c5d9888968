"""Conversations with models: `run.model`, its turns, what it says to the model, and when it stops.

`model` begins one, `talk` holds it, `asking` asks for a turn; `compaction` makes room, `stuck` sees circles.
"""

__all__: list[str] = []  # modules of this room are imported whole
