"""What is held before its next effect: notices of it, and the forms that hold it and let it go on."""

from .pages import STOPS, Held, held, told

__all__ = ["STOPS", "Held", "held", "told"]
