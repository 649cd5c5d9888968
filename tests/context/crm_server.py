"""A real HTTP server of a small CRM, and the document that tells of it. It notes what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.faults.processes import until

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "CRM", "version": "1"},
    "paths": {
        "/customers/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getCustomer",
                "summary": "Find a customer.",
                "parameters": [
                    {
                        "name": "fields",
                        "in": "query",
                        "schema": {"type": "array", "items": {"type": "string"}},
                    },
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "description": "it",
                        "headers": {"X-Total": {"schema": {"type": "integer"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Customer"}}
                        },
                    }
                },
            },
        },
        "/refunds": {
            "post": {
                "operationId": "createRefund",
                "description": "Give money back.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refund"}}},
                },
                "responses": {"201": {"description": "done"}},
            }
        },
        "/say/{what}": {
            "get": {
                "operationId": "say",
                "parameters": [
                    {"name": "what", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "responses": {"200": {"description": "whatever was said"}},
            }
        },
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}},
        "schemas": {
            "Customer": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "knows": {"type": "array", "items": {"$ref": "#/components/schemas/Customer"}},
                },
            },
            "Refund": {
                "type": "object",
                "required": ["id", "order", "amount"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "order": {"type": "string"},
                    "amount": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}


class Crm:
    """What it was asked, and what it answers next instead of what it knows."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.next: list[Response | Exception] = []
        self.url = ""
        self.app = Starlette(
            routes=[Route("/{path:path}", self.answer, methods=["GET", "POST", "PUT", "DELETE"])]
        )

    async def answer(self, request: Request) -> Response:
        raw = request.scope["raw_path"].decode()
        query = request.scope["query_string"].decode()
        self.asked.append((request.method, raw + (f"?{query}" if query else "")))
        self.headers.append(dict(request.headers))
        body = await request.body()
        if body:
            self.bodies.append(json.loads(body))
        if self.next:
            given = self.next.pop(0)
            if isinstance(given, Exception):
                raise given
            return given
        if raw == "/api/openapi.json":
            return JSONResponse(DOCUMENT)
        if raw.startswith("/api/customers/"):
            customer = {"name": "Ann", "token": request.headers.get("authorization")}
            return JSONResponse(customer, headers={"X-Total": "1"})
        if raw == "/api/refunds":
            return JSONResponse({"id": "R-1"}, 201)
        if raw == "/api/say/long":
            return Response("a" * 1000, media_type="text/plain")
        if raw == "/api/say/elsewhere":
            return RedirectResponse("https://evil.example/?q=1")
        return JSONResponse({"error": f"there is no {raw}"}, 404)


@asynccontextmanager
async def crm() -> AsyncIterator[Crm]:
    made = Crm()
    listener = uvicorn.Server(uvicorn.Config(made.app, port=0, log_level="critical", lifespan="off"))
    task = asyncio.create_task(listener.serve())
    await until(lambda: listener.started, "the server listens")
    port = listener.servers[0].sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{port}/api"
    try:
        yield made
    finally:
        listener.should_exit = True
        await task
