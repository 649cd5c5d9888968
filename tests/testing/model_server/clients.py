"""The providers' own clients against the model server: each asks once, and does not try again by itself.

They verify no certificates, as there are none: to read the system's takes a client a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.testing import ModelServer

SCHEMA = {
    "type": "object",
    "properties": {"q": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["q"],
}
"""arguments of the tool `find`"""

PLAN = {
    "type": "object",
    "properties": {"angle": {"type": "string"}},
    "required": ["angle"],
    "additionalProperties": False,
}

Ask = Callable[..., Any]
"""`ask(server, prompt, stream=..., timeout=..., **more of the request)`: the answer, or the list of its events"""


def chat(
    server: ModelServer, prompt: Any = "go", *, stream: bool = False, timeout: float = 20, **more: Any
) -> Any:
    import openai

    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    with openai.OpenAI(
        base_url=server.openai_url,
        api_key="none",
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultHttpxClient(verify=False),
    ) as client:
        asked: dict[str, Any] = {"model": "gpt-5", "messages": messages, **more}
        if stream:
            return list(client.chat.completions.create(stream=True, **asked))
        return client.chat.completions.create(**asked)


def responses(
    server: ModelServer, prompt: Any = "go", *, stream: bool = False, timeout: float = 20, **more: Any
) -> Any:
    import openai

    with openai.OpenAI(
        base_url=server.openai_url,
        api_key="none",
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultHttpxClient(verify=False),
    ) as client:
        asked: dict[str, Any] = {"model": "gpt-5", "input": prompt, **more}
        if stream:
            return list(client.responses.create(stream=True, **asked))
        return client.responses.create(**asked)


def messages(
    server: ModelServer, prompt: Any = "go", *, stream: bool = False, timeout: float = 20, **more: Any
) -> Any:
    import anthropic

    said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    with anthropic.Anthropic(
        base_url=server.anthropic_url,
        api_key="none",
        max_retries=0,
        timeout=timeout,
        http_client=anthropic.DefaultHttpxClient(verify=False),
    ) as client:
        asked: dict[str, Any] = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": said, **more}
        if stream:
            return list(client.messages.create(stream=True, **asked))
        return client.messages.create(**asked)


def gemini(
    server: ModelServer, prompt: Any = "go", *, stream: bool = False, timeout: float = 20, **config: Any
) -> Any:
    from google import genai
    from google.genai import types

    plain = {"verify": False}
    options = types.HttpOptions(
        base_url=server.gemini_url,
        timeout=round(timeout * 1000),
        client_args=plain,
        async_client_args=plain,
    )
    with genai.Client(api_key="none", http_options=options) as client:
        asked: dict[str, Any] = {"model": "gemini-3-pro", "contents": prompt}
        asked["config"] = types.GenerateContentConfig(**config)
        if stream:
            return list(client.models.generate_content_stream(**asked))
        return client.models.generate_content(**asked)


def told(error: BaseException) -> str:
    """What an error says, and what it was raised from."""
    return f"{error!r} {error.__cause__!r}"
