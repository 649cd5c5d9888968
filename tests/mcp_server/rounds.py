"""Tools of the conformance suite for protocol 2026-07-28: what is asked in a result, and answered in the next round."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from perdure.mcp_server.asking import Asking

__all__ = ["ROUNDS", "prompt_with_input"]


def form(message: str, **fields: str) -> types.ElicitRequest:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[said], max_tokens=100)
    )


def needed(state: Any = None, **requests: Any) -> types.InputRequiredResult:
    kept = None if state is None else json.dumps(state)
    return types.InputRequiredResult(input_requests=requests, request_state=kept)


def text(said: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)])


def got(asking: Asking, key: str) -> Any:
    """What was answered, where it was answered by what was asked for."""
    return (asking.responses or {}).get(key)


def field(asking: Asking, key: str, name: str) -> Any:
    given = got(asking, key)
    return (given.content or {}).get(name) if isinstance(given, types.ElicitResult) else None


async def test_input_required_result_elicitation(asking: Asking, given: Any) -> Any:
    name = field(asking, "user_name", "name")
    return text(f"Hello, {name}!") if name else needed(user_name=form("What is your name?", name="string"))


async def test_input_required_result_sampling(asking: Asking, given: Any) -> Any:
    said = got(asking, "sample_request")
    if said is None:
        return needed(sample_request=sample("What is the capital of France?"))
    return text(f"Sampling result: {said.content.text}")


async def test_input_required_result_list_roots(asking: Asking, given: Any) -> Any:
    said = got(asking, "roots_request")
    return (
        needed(roots_request=types.ListRootsRequest())
        if said is None
        else text(f"Found {len(said.roots)} root(s)")
    )


async def test_input_required_result_request_state(asking: Asking, given: Any) -> Any:
    if asking.kept.get("kind") == "request-state" and field(asking, "confirm", "ok"):
        return text("state-ok: requestState validated")
    return needed({"kind": "request-state"}, confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_tampered_state(asking: Asking, given: Any) -> Any:
    if asking.kept.get("kind") == "tamper-test" and got(asking, "confirm"):
        return text("integrity-ok: state verified")
    return needed({"kind": "tamper-test"}, confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_multiple_inputs(asking: Asking, given: Any) -> Any:
    name, greeting, roots = (got(asking, key) for key in ("user_name", "greeting", "client_roots"))
    if asking.kept.get("kind") == "multiple" and name and greeting and roots:
        said = field(asking, "user_name", "name")
        return text(f"Name: {said}; Greeting: {greeting.content.text}; Roots: {len(roots.roots)}")
    return needed(
        {"kind": "multiple"},
        user_name=form("What is your name?", name="string"),
        greeting=sample("Generate a greeting"),
        client_roots=types.ListRootsRequest(),
    )


async def test_input_required_result_multi_round(asking: Asking, given: Any) -> Any:
    name, colour = field(asking, "step1", "name"), field(asking, "step2", "color")
    if asking.kept.get("round") == 2 and colour:
        return text(f"Multi-round complete for {asking.kept['name']} who likes {colour}")
    if asking.kept.get("round") == 1 and name:
        return needed({"round": 2, "name": name}, step2=form("Step 2: your favorite color?", color="string"))
    return needed({"round": 1}, step1=form("Step 1: What is your name?", name="string"))


async def test_input_required_result_capabilities(asking: Asking, given: Any) -> Any:
    able = asking.context.session.client_capabilities or types.ClientCapabilities()
    requests: dict[str, Any] = {}
    if able.elicitation is not None:
        requests["elicit_input"] = form("Elicitation input", value="string")
    if able.sampling is not None:
        requests["sample_input"] = sample("Sample request")
    return needed(**requests) if requests and not asking.responses else text("nothing to ask")


async def test_missing_capability(asking: Asking, given: Any) -> Any:
    able = asking.context.session.client_capabilities
    if able is None or able.sampling is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "it samples", data)
    return text("Success")


async def test_logging_tool(asking: Asking, given: Any) -> Any:
    await asking.context.session.send_log_message("info", "told to those who asked for it")
    return text("logged")


async def test_streaming_elicitation(asking: Asking, given: Any) -> Any:
    await asking.context.session.report_progress(1, 2, "half way")
    await asyncio.sleep(0.01)
    name = field(asking, "user_name", "name")
    return text(f"Hello, {name}!") if name else needed(user_name=form("What is your name?", name="string"))


async def prompt_with_input(asking_for: types.GetPromptRequestParams) -> Any:
    given = (asking_for.input_responses or {}).get("user_context")
    if not isinstance(given, types.ElicitResult):
        return needed(user_context=form("What context should the prompt use?", context="string"))
    said = f"Prompt with context: {(given.content or {}).get('context')}"
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=said))
    return types.GetPromptResult(messages=[message])


ROUNDS: Mapping[str, Any] = {
    made.__name__: made
    for made in (
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_tampered_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_capabilities,
        test_missing_capability,
        test_logging_tool,
        test_streaming_elicitation,
    )
}
