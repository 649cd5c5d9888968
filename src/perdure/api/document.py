"""The OpenAPI document: what FastAPI says of the routers, and what it cannot know of them.

Every operation answers errors with a problem (RFC 9457), and all but a few take a key or a token.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..client.models import Problem
from .problems import MEDIA_TYPE

__all__ = ["documented"]

_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "An API key (`perdure keys create`), or a token of an issuer in `[identity.issuers]`. A browser that has "
            "signed in at this server needs neither."
        ),
    },
}

_PROBLEMS = {
    "4XX": "What is wrong with the request",
    "5XX": "What is wrong here",
}


def documented(api: FastAPI, *, public: frozenset[str]) -> dict[str, Any]:
    """The document of an API. `public` are the paths that anybody may ask."""
    told = get_openapi(
        title=api.title,
        version=api.version,
        summary=api.summary,
        routes=api.routes,
        servers=[{"url": "/api/v1"}],
        separate_input_output_schemas=False,
    )
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    told["components"]["securitySchemes"] = _SCHEMES
    answer = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in told["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status, description in _PROBLEMS.items():
                operation["responses"][status] = {"description": description, "content": answer}
            if path not in public:
                operation["security"] = [{"key": []}]
    return told
