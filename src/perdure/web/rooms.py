"""A room: the pages of one noun, and its place in the navigation. `pages.py` lists the rooms there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from starlette.responses import Response

from ..access.callers import Role

if TYPE_CHECKING:
    from .visit import Visit

__all__ = ["Handler", "Page", "Room"]

Handler: TypeAlias = "Callable[[Visit], Awaitable[Response]]"
"""Answers one visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One address, and who may go there."""

    path: str
    """as Starlette writes paths: `/runs/{run}`"""
    handler: Handler
    role: Role = Role.VIEWER
    method: Literal["GET", "POST"] = "GET"
    """what changes something is a POST, and is asked for its CSRF token before the handler is called"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The pages of one noun."""

    title: str
    """in the navigation"""
    path: str
    """of its first page"""
    key: str
    """the letter that leads there after `g`"""
    pages: Sequence[Page] = field(default_factory=tuple[Page, ...])
    waiting: Callable[[Visit], Awaitable[int]] | None = None
    """how many things in it wait for somebody; shown beside its title where it is not 0"""
