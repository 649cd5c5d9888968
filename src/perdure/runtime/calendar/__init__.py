"""Schedules: plans as they are written down, and the timetable of firings that they make."""

__all__: list[str] = []  # modules of this room are imported whole
