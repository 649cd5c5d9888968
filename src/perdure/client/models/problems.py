"""What went wrong, as RFC 9457 has it: the form of every answer that is an error."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from .base import Told

__all__ = ["Misfit", "Problem"]


class Misfit(Told):
    """One thing that is wrong with a request."""

    where: str = Field(examples=["body.input"])
    """the field, from `body`, `query`, `path` or `header` on"""
    what: str = Field(examples=["Field required"])


class Problem(Told):
    """A problem (RFC 9457), with the media type `application/problem+json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "https://perdure.dev/problems/unknown-run",
                    "title": "Unknown run",
                    "status": 404,
                    "detail": "no run `order-17`; `perdure runs ls` shows what there is",
                }
            ]
        }
    )

    type: str = "about:blank"
    """names the kind of problem: programs compare it"""
    title: str
    """the same for all problems of the type"""
    status: int = Field(ge=400, le=599)
    """of HTTP"""
    detail: str | None = None
    """what is wrong here, and what to do next"""
    instance: str | None = None
    """the path that was asked for"""
    errors: list[Misfit] | None = None
    """of a request that does not fit: each thing that is wrong"""
    retry_after: float | None = None
    """seconds, where asking again later may help"""
