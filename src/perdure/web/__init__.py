"""The dashboard: pages of runs, approvals and all else that people look at, made on the server.

    request ─► headers ─► who asks (a `Gate`) ─► may they ─► a room's handler ─► template ─► HTML

A *room* is one noun of the product with its pages: its routes, its name in the navigation, its templates. Pages work
without a script; htmx brings what has changed, the server says when by an event. Nothing is fetched from elsewhere,
all text is escaped, and text that somebody else wrote is shown with what hides in it.
"""

from .pages import pages

__all__ = ["pages"]
