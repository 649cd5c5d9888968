"""Every fault of the scripted model server, met by the providers' own clients: the class that each error has."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Failure, FailureClass
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.runtime.replay.failure import again, failure_of
from perdure.testing import Fault, ModelServer
from perdure.testing.model_server import FAULTS
from tests.testing.model_server import clients

PERMANENT, TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
OVERLOADED, REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED
CONTEXT = FailureClass.CONTEXT_EXCEEDED

CLASSES = {
    "rate_limited": OVERLOADED,
    "quota_exhausted": PERMANENT,
    "server_error": TRANSIENT,
    "bad_gateway": TRANSIENT,
    "unavailable": OVERLOADED,
    "gateway_timeout": TRANSIENT,
    "overloaded": OVERLOADED,
    "bad_key": PERMANENT,
    "forbidden": PERMANENT,
    "no_such_model": PERMANENT,
    "bad_request": PERMANENT,
    "too_large": CONTEXT,
    "context_exceeded": CONTEXT,
    "prompt_refused": REFUSED,
    "status": PERMANENT,
    "hang": TRANSIENT,
    "dropped": TRANSIENT,
    "reset": TRANSIENT,
    "cut_off": TRANSIENT,
    "stalled": TRANSIENT,
    "half_body": TRANSIENT,
    "no_json": TRANSIENT,
    "wrong_schema": TRANSIENT,
    "empty": TRANSIENT,
    "error_in_stream": OVERLOADED,
}
NO_ERROR = frozenset({"slow", "refused", "filtered", "cut_short", "unknown_tool", "bad_arguments"}) | {
    "wrong_types",
    "blank",
}
"""HTTP is in order: what the model says is looked at elsewhere."""

MAY_PASS = {
    "half_body",
    "no_json",
    "wrong_schema",
    "empty",
    "prompt_refused",  # Gemini says it in an answer
}
"""Some clients notice nothing, or fail in a way that says nothing of the provider."""

TURNED_DOWN = {kind for kind, failure in CLASSES.items() if failure in (PERMANENT, CONTEXT, REFUSED)} | {
    "rate_limited"
}


def test_every_fault_is_in_the_table() -> None:
    assert set(CLASSES) | NO_ERROR == set(FAULTS)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("ask", [clients.chat, clients.responses, clients.messages, clients.gemini])
@pytest.mark.parametrize("kind", CLASSES)
def test_faults(kind: Any, ask: clients.Ask, stream: bool) -> None:
    wanted = CLASSES[kind]
    if (kind, ask) == ("quota_exhausted", clients.gemini):
        wanted = OVERLOADED  # without the quota's id, a day's and a minute's are told in the same words
    fault = Fault(kind, status=418) if kind == "status" else Fault(kind)
    with ModelServer([fault]) as server:
        try:
            ask(server, stream=stream, timeout=0.3 if kind in ("hang", "stalled") else 20)
        except Exception as error:
            found = diagnose(error)
            read = Failure.model_validate_json(failure_of(error).model_dump_json())
            assert diagnose(again(read)) == found
            assert found.failure is wanted, error
            assert found.not_sent == (kind in TURNED_DOWN), error
        else:
            assert kind in MAY_PASS
        finally:
            server.release()
