"""Models' SDKs against a real server: what each raises for each fault, alone and through pydantic-ai."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from pydantic_ai import direct
from pydantic_ai.exceptions import ModelRetry, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from perdure import Diagnosis, Failure, FailureClass
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.runtime.replay.failure import again, failure_of
from tests.runtime.bad_server import BadServer, misbehaving, nobody

PERMANENT, TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
OVERLOADED, REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED
CONTEXT, INVALID = FailureClass.CONTEXT_EXCEEDED, FailureClass.INVALID_OUTPUT

PATIENCE = 0.3
"""Seconds after which a client gives up on an answer."""

Client = Callable[[str], Awaitable[object]]


async def openai_client(url: str, retries: int = 0) -> object:
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=retries, timeout=PATIENCE
    ) as client:
        return await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


async def anthropic_client(url: str) -> object:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0, timeout=PATIENCE) as client:
        return await client.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )


async def google_client(url: str) -> object:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        options: Any = {"base_url": url, "httpx_async_client": http}
        client = genai.Client(api_key="k", http_options=options)
        return await client.aio.models.generate_content(model="m", contents="hi")


async def ask(model: Model) -> object:
    return await direct.model_request(model, [ModelRequest.user_text_prompt("hi")])


async def openai_model(url: str) -> object:
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=PATIENCE
    ) as client:
        return await ask(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client)))


async def anthropic_model(url: str) -> object:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0, timeout=PATIENCE) as client:
        return await ask(AnthropicModel("m", provider=AnthropicProvider(anthropic_client=client)))


async def google_model(url: str) -> object:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        options: Any = {"base_url": url, "httpx_async_client": http}
        return await ask(
            GoogleModel("m", provider=GoogleProvider(client=genai.Client(api_key="k", http_options=options)))
        )


ALL: list[Client] = [
    openai_client,
    anthropic_client,
    google_client,
    openai_model,
    anthropic_model,
    google_model,
]
UNHURRIED = (google_client, google_model)
"""Their library waits for half a minute at least."""

every_client = pytest.mark.parametrize("client", ALL)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with misbehaving() as made:
        yield made


async def found(client: Client, url: str) -> Diagnosis:
    """The diagnosis, which is the same from the journal, and where only the error's name is left."""
    try:
        await client(url)
    except Exception as error:
        live = diagnose(error)
        read = Failure.model_validate_json(failure_of(error).model_dump_json())
        assert diagnose(again(read)) == live
        return live
    raise AssertionError("it raised nothing")


async def verdict(client: Client, url: str) -> tuple[FailureClass, bool]:
    live = await found(client, url)
    return live.failure, live.not_sent


@every_client
async def test_nobody_listens(client: Client) -> None:
    with nobody() as url:
        assert await verdict(client, url) == (TRANSIENT, True)


@pytest.mark.parametrize(
    "client", [pytest.param(c, marks=pytest.mark.soak) if c in UNHURRIED else c for c in ALL]
)
async def test_no_answer_in_time(client: Client, server: BadServer) -> None:
    server.manner = "hang"
    assert await verdict(client, server.url) == (TRANSIENT, False)


@every_client
async def test_it_hangs_up(client: Client, server: BadServer) -> None:
    server.manner = "close"
    assert await verdict(client, server.url) == (TRANSIENT, False)


@every_client
async def test_it_hangs_up_in_the_middle_of_the_answer(client: Client, server: BadServer) -> None:
    server.answers(200, b'{"choices": [')
    server.manner = "cut"
    assert await verdict(client, server.url) == (TRANSIENT, False)


@pytest.mark.parametrize("client", [openai_model, anthropic_model, google_model])
async def test_half_a_json_is_asked_for_again(client: Client, server: BadServer) -> None:
    server.answers(200, b'{"choices": [{"mess')
    assert await verdict(client, server.url) == (TRANSIENT, False)


async def test_an_answer_that_is_in_no_form_is_not_for_the_model_to_mend(server: BadServer) -> None:
    server.answers(200, b'{"foo": 1}')
    assert (await found(openai_model, server.url)).failure is TRANSIENT


@every_client
@pytest.mark.parametrize(
    ("status", "failure", "not_sent"),
    [
        (400, PERMANENT, True),
        (401, PERMANENT, True),
        (403, PERMANENT, True),
        (404, PERMANENT, True),
        (409, TRANSIENT, True),
        (413, CONTEXT, True),
        (422, PERMANENT, True),
        (429, OVERLOADED, True),
        (500, TRANSIENT, False),
        (502, TRANSIENT, False),
        (503, OVERLOADED, False),
        (529, OVERLOADED, False),
    ],
)
async def test_statuses(
    client: Client, server: BadServer, status: int, failure: FailureClass, not_sent: bool
) -> None:
    server.answers(
        status, json.dumps({"error": {"message": "no", "type": "x", "code": status, "status": "X"}})
    )
    assert await verdict(client, server.url) == (failure, not_sent)


def error_body(**fields: object) -> str:
    return json.dumps({"type": "error", "error": fields})


OPENAI, ANTHROPIC, GOOGLE = (
    [openai_client, openai_model],
    [anthropic_client, anthropic_model],
    [google_client, google_model],
)

TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000"
TOO_LONG_ANTHROPIC = "prompt is too long: 208310 tokens > 200000 maximum"
TOO_LONG_GOOGLE = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
FILTERED = "filtered due to the prompt triggering Azure OpenAI's content management policy."
NO_CREDIT = "Your credit balance is too low to access the Anthropic API."

SAID = [
    (OPENAI, 400, error_body(code="context_length_exceeded", message="too long"), CONTEXT),
    (OPENAI, 400, error_body(code=None, message=TOO_LONG), CONTEXT),
    (ANTHROPIC, 400, error_body(type="invalid_request_error", message=TOO_LONG_ANTHROPIC), CONTEXT),
    (GOOGLE, 400, error_body(code=400, status="INVALID_ARGUMENT", message=TOO_LONG_GOOGLE), CONTEXT),
    (OPENAI, 400, error_body(code="content_filter", message=FILTERED), REFUSED),
    (OPENAI, 429, error_body(code="insufficient_quota", message="exceeded your quota"), PERMANENT),
    (ANTHROPIC, 400, error_body(type="invalid_request_error", message=NO_CREDIT), PERMANENT),
    (ANTHROPIC, 529, error_body(type="overloaded_error", message="Overloaded"), OVERLOADED),
    (OPENAI, 400, error_body(code="invalid_value", message="`tokens` must be positive"), PERMANENT),
]


@pytest.mark.parametrize(
    ("client", "status", "body", "failure"),
    [(client, status, body, failure) for clients, status, body, failure in SAID for client in clients],
)
async def test_what_a_provider_says(
    client: Client, server: BadServer, status: int, body: str, failure: FailureClass
) -> None:
    server.answers(status, body)
    assert (await found(client, server.url)).failure is failure


@every_client
async def test_when_to_come_again(client: Client, server: BadServer) -> None:
    server.answers(429, error_body(message="slow", code=429), {"Retry-After": "7"})
    assert (await found(client, server.url)).retry_after == 7


@pytest.mark.parametrize("client", GOOGLE)
async def test_google_says_it_in_the_body(client: Client, server: BadServer) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    server.answers(429, error_body(code=429, status="RESOURCE_EXHAUSTED", message="slow", details=[info]))
    assert (await found(client, server.url)).retry_after == 34.5


async def test_an_sdk_that_tried_before_knows_nothing_of_that_attempt(server: BadServer) -> None:
    server.answers(429, error_body(message="slow"), {"retry-after-ms": "1"})
    assert await verdict(openai_client, server.url) == (OVERLOADED, True)
    assert await verdict(lambda url: openai_client(url, retries=1), server.url) == (OVERLOADED, False)
    assert server.asked == 3


async def stream(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        async for _ in await client.chat.completions.create(model="m", messages=messages, stream=True):
            pass


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("rate_limit_exceeded", OVERLOADED),
        ("server_error", TRANSIENT),
        ("new_code", TRANSIENT),
        ("context_length_exceeded", CONTEXT),
    ],
)
async def test_an_error_in_a_stream(server: BadServer, code: str, failure: FailureClass) -> None:
    event = {"error": {"message": "no", "type": code, "code": code}}
    server.answers(200, f"data: {json.dumps(event)}\n\n", {"Content-Type": "text/event-stream"})
    assert (await found(stream, server.url)).failure is failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UnexpectedModelBehavior("no tool of that name"), INVALID),
        (ModelRetry("the date is in the past"), INVALID),
        (UsageLimitExceeded("too many tokens"), PERMANENT),
    ],
)
def test_what_pydantic_ai_raises_by_itself(error: Exception, failure: FailureClass) -> None:
    assert diagnose(error).failure is failure
