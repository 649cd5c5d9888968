"""Frameworks and providers of models, a room each; what is heavy is imported when it is first used."""

from .models import default_models

__all__ = ["default_models"]
