"""`POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent`.

https://ai.google.dev/api/generate-content; Vertex AI's paths end the same way.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from ...runtime.conversation.messages import (
    AssistantMessage,
    Message,
    OutputSchema,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSchema,
    UserMessage,
)
from .faults import Fault, retry_header
from .reply import Reply
from .request import Asked, Request
from .wire import Event, Failure, json_or_text, pieces, section

__all__ = ["PATH", "broken", "events", "failure", "hollow", "read", "silent", "whole"]

PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<stream>streamGenerateContent|generateContent)$")
"""How the path of a request ends."""

_READ = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
_FINISH = {"length": "MAX_TOKENS", "content_filter": "SAFETY", "refusal": "PROHIBITED_CONTENT"}


def read(body: dict[str, Any], path: str) -> Asked:
    """What is asked. A function's result has no id in the older models, so its name stands for it."""
    route = PATH.search(path)
    if route is None:
        raise ValueError(f"`{path}` names no model")
    messages: list[Message] = []
    system = body.get("systemInstruction")
    if system:
        messages.append(SystemMessage(text=_text(system)))
    for said in body["contents"]:
        parts: list[dict[str, Any]] = said.get("parts") or []
        text = _text(said)
        if said.get("role") == "model":
            calls = [p["functionCall"] for p in parts if "functionCall" in p]
            asked = (
                ToolCall(id=c.get("id") or c["name"], name=c["name"], arguments=c.get("args") or {})
                for c in calls
            )
            messages.append(AssistantMessage(text=text, tool_calls=tuple(asked)))
            continue
        results = [p["functionResponse"] for p in parts if "functionResponse" in p]
        messages += [_result(r) for r in results]
        if text or not results:
            messages.append(UserMessage(text=text))
    settings = section(body, "generationConfig")
    allowed = _allowed(body)
    return Asked(
        model=route["model"],
        messages=tuple(messages),
        tools=tuple(
            ToolSchema(name=f["name"], description=f.get("description"), arguments=_schema(f))
            for tool in body.get("tools") or ()
            for f in tool.get("functionDeclarations") or ()
        ),
        forced_tool=allowed[0] if len(allowed) == 1 else None,
        output=_form(settings),
        settings={**settings, **{k: v for k, v in body.items() if k not in _READ}},
        stream=route["stream"] == "streamGenerateContent",
    )


def _text(content: dict[str, Any]) -> str:
    return "".join(p["text"] for p in content.get("parts") or () if "text" in p and not p.get("thought"))


def _result(response: dict[str, Any]) -> ToolMessage:
    told: dict[str, Any] = response.get("response") or {}
    value = next(iter(told.values())) if len(told) == 1 else told
    return ToolMessage(
        id=response.get("id") or response["name"],
        name=response["name"],
        text=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
        failed="error" in told,
    )


def _schema(function: dict[str, Any]) -> dict[str, Any]:
    """Google's parser takes both spellings of a name, and its client uses both."""
    names = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((function[name] for name in names if name in function), dict[str, Any]())


def _allowed(body: dict[str, Any]) -> list[str]:
    return section(body, "toolConfig", "functionCallingConfig").get("allowedFunctionNames") or []


def _form(settings: dict[str, Any]) -> OutputSchema | None:
    names = ("responseJsonSchema", "response_json_schema", "responseSchema")
    schema = next((settings[name] for name in names if settings.get(name)), None)
    if schema is None and settings.get("responseMimeType") != "application/json":
        return None
    return OutputSchema(name="object", json_schema=schema or {"type": "object"})


def whole(reply: Reply, request: Request) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    return _response(reply, request, list(_parts(reply, request)), last=True)


def events(reply: Reply, request: Request) -> Iterator[Event]:
    """Each event is a response of its own, with some of the parts; the last has the reason why it is the last."""
    told: list[dict[str, Any]] = []
    for part in _parts(reply, request):
        if "text" in part:
            told += [{**part, "text": piece} for piece in pieces(part["text"])]
        else:
            told.append(part)
    for part in told:
        yield Event(_response(reply, request, [part], last=False))
    yield Event(_response(reply, request, [{"text": ""}] if told else [], last=True))


def _response(reply: Reply, request: Request, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    if last and _malformed(reply):
        # What is no JSON never leaves Gemini: it says so instead of what the model said.
        name, arguments = reply.calls[0]
        candidate = {"index": 0, "content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}
        candidate["finishMessage"] = f"Malformed function call: print(default_api.{name}({arguments}"
    elif last:
        candidate["finishReason"] = _FINISH.get(reply.finish or "", "STOP")
        if reply.finish == "refusal":  # its words are no content
            candidate["finishMessage"] = reply.text
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(reply),
        "modelVersion": reply.model or request.model,
        "responseId": f"gemini-{request.number}",
    }


def _malformed(reply: Reply) -> bool:
    return any(not isinstance(json_or_text(arguments), dict) for _, arguments in reply.calls)


def _parts(reply: Reply, request: Request) -> Iterator[dict[str, Any]]:
    sealed = base64.b64encode(f"sealed-{request.number}".encode()).decode()
    if reply.reasoning:
        yield {"text": reply.reasoning, "thought": True}
    if reply.text and reply.finish != "refusal":
        yield {"text": reply.text}
    if _malformed(reply):
        return
    for i, (name, arguments) in enumerate(reply.calls):
        call = {"id": f"call-{request.number}-{i}", "name": name, "args": json_or_text(arguments)}
        signed = {"thoughtSignature": sealed} if reply.reasoning and i == 0 else {}
        yield {"functionCall": call, **signed}


def hollow(request: Request) -> dict[str, Any]:
    """An answer without candidates."""
    return {**whole(Reply(), request), "candidates": []}


def silent(request: Request) -> list[Event]:
    """One response without candidates."""
    return [Event(hollow(request))]


def broken(fault: Fault, request: Request) -> Event:
    """An error in the place of a response."""
    return Event(_error(fault, request)[1])


def failure(fault: Fault, request: Request) -> Failure:
    """The HTTP error of a fault (https://ai.google.dev/gemini-api/docs/troubleshooting)."""
    if fault.kind == "bad_gateway":  # the front end's, not the service's
        page = "<html><title>Error 502 (Server Error)!!1</title><p><b>502.</b> That's an error.</html>"
        return Failure(fault.status or 502, fault.message or page)
    if fault.kind == "prompt_refused":  # no error, but an answer that has feedback and no candidate
        feedback = {"blockReason": "PROHIBITED_CONTENT"}
        refused = {k: v for k, v in hollow(request).items() if k != "candidates"}
        return Failure(200, {**refused, "promptFeedback": feedback})
    status, body = _error(fault, request)
    dated = fault.retry_after is not None and not isinstance(fault.retry_after, int | float)
    headers = {"Retry-After": retry_header(fault.retry_after)} if fault.retry_after and dated else {}
    return Failure(status, body, headers)


def _error(fault: Fault, request: Request) -> tuple[int, dict[str, Any]]:
    status, name, words, details = _words(fault, request)
    status = fault.status or status
    if isinstance(fault.retry_after, int | float):
        delay = f"{fault.retry_after:g}s"
        details = [*details, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    error: dict[str, Any] = {"code": status, "message": fault.message or words, "status": name}
    if details:
        error["details"] = details
    return status, {"error": error}


def _words(fault: Fault, request: Request) -> tuple[int, str, str, list[dict[str, Any]]]:
    """HTTP status, status, message, details."""
    docs = "https://ai.google.dev/gemini-api/docs/rate-limits"
    match fault.kind:
        case "rate_limited":
            quota = {
                "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model",
                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
                "quotaDimensions": {"location": "global", "model": request.model},
                "quotaValue": "10",
            }
            details = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]}]
            words = "Resource has been exhausted (e.g. check quota)."
            return 429, "RESOURCE_EXHAUSTED", words, details
        case "quota_exhausted":
            words = (
                "You exceeded your current quota, please check your plan and billing details. For more information "
                f"on this error, head to: {docs}."
            )
            link = {"description": "Learn more about Gemini API quotas", "url": docs}
            help_ = {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]}
            return 429, "RESOURCE_EXHAUSTED", words, [help_]
        case "overloaded" | "error_in_stream":
            return 503, "UNAVAILABLE", "The model is overloaded. Please try again later.", []
        case "unavailable":
            return 503, "UNAVAILABLE", "The service is currently unavailable.", []
        case "gateway_timeout":
            return 504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", []
        case "bad_key":
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
            return 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [info]
        case "forbidden":
            return 403, "PERMISSION_DENIED", "The caller does not have permission", []
        case "no_such_model":
            words = (
                f"models/{request.model} is not found for API version v1beta, or is not supported for "
                "generateContent. Call ListModels to see the list of available models and their supported methods."
            )
            return 404, "NOT_FOUND", words, []
        case "too_large":
            words = "Request payload size exceeds the limit: 20971520 bytes."
            return 400, "INVALID_ARGUMENT", words, []
        case "context_exceeded":
            words = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
            return 400, "INVALID_ARGUMENT", words, []
        case "bad_request":
            words = "Invalid JSON payload received. Unknown name \"top_q\" at 'generation_config'."
            return 400, "INVALID_ARGUMENT", words, []
        case "status":
            return 500, "UNKNOWN", "broken on purpose", []
        case _:
            words = (
                "An internal error has occurred. Please retry or report in "
                "https://developers.generativeai.google/guide/troubleshooting"
            )
            return 500, "INTERNAL", words, []


def _usage(reply: Reply) -> dict[str, Any]:
    used_in, used_out = reply.tokens
    cached = {"cachedContentTokenCount": reply.cached} if reply.cached else {}
    return {
        "promptTokenCount": used_in,
        "candidatesTokenCount": used_out,
        "totalTokenCount": used_in + used_out,
        **cached,
    }
