"""Perdure's server inside a FastAPI application: `uvicorn main:host`, then http://127.0.0.1:8000/agents/api/v1/health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from perdure import App, Run
from perdure.server import Life, asgi

app = App("sqlite:///perdure.db")


@app.agent("greeter")
async def greeter(run: Run, name: str) -> str:
    return await run.step("greet", lambda: f"Hello, {name}!")


life = Life(app, worker=True)
server = asgi(app, life=life)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with life:  # ASGI starts nothing of what is mounted
        yield
        server.stop()


host = FastAPI(lifespan=lifespan)


@host.post("/greetings")
async def greet(name: str) -> dict[str, str]:
    """An operation of your own, which starts a run beside the API's."""
    handle = await app.start(greeter, name)
    return {"run": handle.id, "says": await handle.result()}


host.mount("/agents", server)
