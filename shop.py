import asyncio

from pydantic import BaseModel

from perdure import App, Run
from perdure.server import asgi
from perdure.server.serving import Serving

app = App("sqlite:///shop.db")


class Order(BaseModel):
    item: str
    count: int = 1


@app.tool(effect="write", needs_approval=True)
def refund(amount: int) -> str:
    return f"refunded {amount}"


@app.agent("shop")
async def shop(run: Run, order: Order) -> dict[str, int]:
    return {"total": order.count * 3}


@app.agent("refunds")
async def refunds(run: Run, amount: int) -> str:
    return await run.call(refund, amount)


async def serve(ready) -> None:
    """What `perdure serve --worker` does."""
    server = Serving(asgi(app, worker=True), host="127.0.0.1", port=0)
    address = server.bind()
    await server.run(lambda: ready(address, asyncio.get_running_loop(), server))
