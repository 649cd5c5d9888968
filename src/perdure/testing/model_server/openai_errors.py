"""How OpenAI says that something is wrong (https://platform.openai.com/docs/guides/error-codes).

The two protocols differ in a few words only.
"""

from __future__ import annotations

from typing import Any

from .faults import Fault, retry_header
from .request import Request
from .wire import Failure

__all__ = ["failure", "told"]

_PAGE = """<html>
<head><title>{status} {reason}</title></head>
<body>
<center><h1>{status} {reason}</h1></center>
<hr><center>cloudflare</center>
</body>
</html>
"""


def failure(fault: Fault, request: Request) -> Failure:
    """The HTTP error of a fault."""
    if fault.kind in ("bad_gateway", "gateway_timeout"):  # the proxy's, not the provider's
        status, reason = (502, "Bad Gateway") if fault.kind == "bad_gateway" else (504, "Gateway Time-out")
        page = fault.message or _PAGE.format(status=status, reason=reason)
        return Failure(fault.status or status, page)
    status, error = told(fault, request)
    headers = {"x-request-id": f"req_{request.number:032x}"}
    if fault.retry_after is not None:
        headers["Retry-After"] = retry_header(fault.retry_after)
    return Failure(status, {"error": error}, headers)


def told(fault: Fault, request: Request) -> tuple[int, dict[str, Any]]:
    """The status and the error object of a fault."""
    status, kind, code, param, words = _words(fault, request)
    return fault.status or status, {
        "message": fault.message or words,
        "type": kind,
        "param": param,
        "code": code,
    }


def _words(fault: Fault, request: Request) -> tuple[int, str, str | None, str | None, str]:
    """Status, type, code, parameter, message."""
    chat = request.protocol == "openai-chat"
    invalid = "invalid_request_error"
    match fault.kind:
        case "rate_limited":
            wait = fault.retry_after if isinstance(fault.retry_after, int | float) else 1
            return (
                429,
                "tokens",
                "rate_limit_exceeded",
                None,
                f"Rate limit reached for {request.model} in organization org-scripted on tokens per min (TPM): "
                f"Limit 30000, Used 29500, Requested 1500. Please try again in {wait:g}s. "
                "Visit https://platform.openai.com/account/rate-limits to learn more.",
            )
        case "quota_exhausted":
            return (
                429,
                "insufficient_quota",
                "insufficient_quota",
                None,
                "You exceeded your current quota, please check your plan and billing details. For more "
                "information on this error, read the docs: "
                "https://platform.openai.com/docs/guides/error-codes/api-errors.",
            )
        case "unavailable":
            return 503, "server_error", None, None, "The server is temporarily unable to handle your request."
        case "overloaded" | "error_in_stream":
            words = "Our servers are currently overloaded. Please try again later."
            return 503, "service_unavailable_error", "server_is_overloaded", None, words
        case "bad_key":
            return (
                401,
                invalid,
                "invalid_api_key",
                None,
                "Incorrect API key provided: scripted. You can find your API key at "
                "https://platform.openai.com/account/api-keys.",
            )
        case "forbidden":
            words = "You have insufficient permissions for this operation."
            return 403, invalid, "insufficient_permissions", None, words
        case "no_such_model":
            words = f"The model `{request.model}` does not exist or you do not have access to it."
            return 404, invalid, "model_not_found", None, words
        case "too_large":
            return 413, invalid, None, None, "Request entity too large."
        case "context_exceeded":
            words = (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 130021 "
                "tokens. Please reduce the length of the messages."
                if chat
                else "Your input exceeds the context window of this model. Please adjust your input and try again."
            )
            return 400, invalid, "context_length_exceeded", "messages" if chat else "input", words
        case "prompt_refused":
            return (
                400,
                invalid,
                "invalid_prompt",
                None,
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again "
                "with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
            )
        case "bad_request":
            return (
                400,
                invalid,
                "unsupported_parameter",
                "temperature",
                "Unsupported parameter: 'temperature'.",
            )
        case "status":
            return 500, "scripted", None, None, "broken on purpose"
        case _:
            words = "The server had an error while processing your request. Sorry about that!"
            return 500, "server_error", None, None, words
