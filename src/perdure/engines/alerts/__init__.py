"""Alerts: what people are told without having asked. Raised once, journaled, delivered at least once, acknowledged."""

from .alert import Alert, Occurrence
from .alerting import Alerting, Endings
from .keeping import Alerts

__all__ = ["Alert", "Alerting", "Alerts", "Endings", "Occurrence"]
