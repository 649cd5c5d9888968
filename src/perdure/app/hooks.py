"""What comes in signed, and who is told what happens: only a server looks at it."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.hook_settings import HookSettings, WebhookSettings

__all__ = ["Hooks"]


class Hooks:
    """The part of `App` that knows its webhooks, by name."""

    hooks: Mapping[str, HookSettings] = {}
    """that others send here; the tables `[hooks.NAME]`"""
    webhooks: Mapping[str, WebhookSettings] = {}
    """that are sent to others; the tables `[webhooks.NAME]`"""
