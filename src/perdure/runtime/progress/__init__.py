"""What runs of one series hand to each other: records, their fold, the page, and the cells by which items are taken."""

from .records import Attempt, Handover, ItemState, Note, PastRun, WorkItem

__all__ = ["Attempt", "Handover", "WorkItem", "ItemState", "Note", "PastRun"]
