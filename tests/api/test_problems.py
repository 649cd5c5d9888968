"""Every error is a problem (RFC 9457), and what is too much is refused before it costs anything."""

from __future__ import annotations

import inspect

import pytest

from perdure.api.problems import MEDIA_TYPE, STATUS, problem_of
from perdure.core import errors
from perdure.core.errors import PerdureError
from tests.api.desk import asked, desk

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PerdureError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_the_tree_has_a_status(kind: type[PerdureError]) -> None:
    assert any(parent in STATUS for parent in kind.__mro__[:-4]) or kind is PerdureError


def test_what_nobody_expected_says_nothing() -> None:
    told = problem_of(ValueError("the password is hunter2"))
    assert told.status == 500
    assert "hunter2" not in told.model_dump_json()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"agent":', 422, "body"),
        (b"[" * 10_000, 422, "body"),
        (b'{"agent": "order", "input": ' + b"[" * 100 + b"]" * 100 + b"}", 422, "body"),
        (b'{"agent": "order", "input": NaN}', 422, "body"),
        (b'{"agent": "order", "wrong": 1}', 422, "body.wrong"),
        (b" " * 2_000_000, 413, "1,048,576 bytes"),
        (b"\x80\x04\x95", 422, "body"),
    ],
    ids=["cut", "bare depth", "depth", "nan", "unknown field", "size", "pickle"],
)
async def test_a_body_that_is_not_what_was_asked_for(body: bytes, status: int, says: str) -> None:
    """S33."""
    async with asked(desk()) as client:
        answer = await client.post("/runs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert says in answer.json()["detail"]


async def test_a_body_is_counted_as_it_comes() -> None:
    """S33: also where no header says how long it is."""
    came = 0

    async def endless():
        nonlocal came
        while True:
            came += 65_536
            yield b" " * 65_536

    from perdure.api.limits import BodyLimit

    async def reads(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    told: list[dict[str, object]] = []
    body = endless()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": await anext(body), "more_body": True}

    async def send(message: dict[str, object]) -> None:
        told.append(message)

    scope = {"type": "http", "headers": [], "path": "/", "method": "POST", "query_string": b""}
    await BodyLimit(reads, most=1_000_000)(scope, receive, send)  # type: ignore[arg-type]
    assert told[0]["status"] == 413
    assert came <= 1_100_000


@pytest.mark.parametrize("path", ["/nowhere", "/runs/nope", "/runs/nope/entries", "/runs/nope/events"])
async def test_what_is_not_there_is_a_problem(path: str) -> None:
    async with asked(desk()) as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["instance"] == f"/api/v1{path}"


async def test_nothing_is_read_of_a_stranger() -> None:
    async with asked(desk()) as client:
        answer = await client.post("/runs", content=b"{", headers={"authorization": ""})
        health = await client.get("/health", headers={"authorization": ""})
        ready = await client.get("/ready", headers={"authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (health.status_code, ready.status_code) == (200, 200)


async def test_a_parameter_that_is_not_known_is_refused() -> None:
    async with asked(desk()) as client:
        answer = await client.get("/runs", params={"stauts": "failed"})
    assert answer.status_code == 422
    assert "`stauts` is no parameter here" in answer.json()["detail"]


async def test_what_may_be_done_at_a_path_is_said() -> None:
    async with asked(desk()) as client:
        runs, one = await client.delete("/runs"), await client.patch("/runs/r")
    assert (runs.status_code, runs.headers["allow"]) == (405, "GET, POST")
    assert (one.status_code, one.headers["allow"]) == (405, "GET")
