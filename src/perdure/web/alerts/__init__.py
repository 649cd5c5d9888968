"""What people are told without having asked, on the page of the fleet."""

from .pages import ALERTS

__all__ = ["ALERTS"]
