"""The OpenAPI document and the server agree, whatever a stranger sends: schemathesis, with all its checks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import Phase, settings

from perdure.api import api
from perdure.server import asgi
from perdure.server.serving import Serving
from perdure.views.watching import Watch
from tests.api.desk import BelievingGate, as_, desk

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in a thread of its own, without a worker: what is started stays as it is."""
    ready, told = threading.Event(), list[tuple[str, asyncio.AbstractEventLoop, Serving]]()

    async def serve() -> None:
        app = desk()
        server = Serving(asgi(app, gate=BelievingGate(), pages=False), host="127.0.0.1", port=0)
        told.append((server.bind(), asyncio.get_running_loop(), server))
        await server.run(ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    (address, loop, server) = told[0]
    yield address
    loop.call_soon_threadsafe(server.stop)
    thread.join(30)


def document() -> schemathesis.BaseSchema:
    app = desk()
    told = api(app, BelievingGate(), watch=Watch(app.store)).openapi()
    # 422 is also for what a schema cannot say: an input that does not fit its agent, a budget that limits nothing
    statuses = ["2xx", "401", "403", "404", "409", "410", "422", "429"]
    checks = {"positive_data_acceptance": {"expected-statuses": statuses}}
    return schemathesis.openapi.from_dict(told, config=schemathesis.Config.from_dict({"checks": checks}))


DOCUMENT = document().exclude(path="/events")  # it has no end
FEW = settings(max_examples=1, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True)
MANY = settings(max_examples=200, deadline=None, phases=[Phase.explicit, Phase.generate])


@DOCUMENT.parametrize()
@FEW
def test_the_server_does_what_its_document_says(case: schemathesis.Case, url: str) -> None:
    send(case, url)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@DOCUMENT.parametrize()
@MANY
def test_the_server_does_what_its_document_says_for_long(case: schemathesis.Case, url: str) -> None:
    send(case, url)


def send(case: schemathesis.Case, url: str) -> None:
    headers = {"Authorization": as_()["authorization"]}
    case.call_and_validate(base_url=f"{url}/api/v1", headers=headers, timeout=20)
