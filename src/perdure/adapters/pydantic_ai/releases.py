"""What differs between the releases of pydantic-ai that are supported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from pydantic_ai import durable_exec
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import CompletedStreamedResponse, ModelRequestParameters, StreamedResponse

__all__ = ["WRAPS_MODELS", "overheard", "recorded_stream", "replaying", "text_in", "unit"]

WRAPS_MODELS = hasattr(AbstractCapability, "get_wrapper_model")
"""since 2.62; before that a model is changed in `before_model_request`"""

_SUPPRESSES_SPANS = "replay_scope" in getattr(durable_exec, "__all__", ())


@contextmanager
def _nothing() -> Generator[None]:
    yield


def replaying() -> AbstractContextManager[None]:
    """Around an agent's run: spans of what is only replayed are not exported a second time (since 2.68)."""
    return durable_exec.replay_scope() if _SUPPRESSES_SPANS else _nothing()


def unit(*, executed: bool) -> None:
    """Say that a step was carried out, or that its recorded result was used."""
    if _SUPPRESSES_SPANS:
        durable_exec.record_durable_unit(executed=executed)


def recorded_stream(response: ModelResponse, parameters: ModelRequestParameters) -> StreamedResponse:
    """A recorded answer as a stream of whole parts."""
    made: Any = CompletedStreamedResponse
    return cast("StreamedResponse", made(response, model_request_parameters=parameters, replay_events=True))


def text_in(event: Any) -> str:
    """The text that an event of a stream brings."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def overheard(stream: StreamedResponse, say: Callable[[str], None]) -> None:
    """Tell `say` all text of a stream, whoever reads it."""
    # By the method that every model's stream has to have: what reads them keeps the object, and knows its type.
    reached: Any = stream
    theirs: Callable[[], AsyncIterator[Any]] = reached._get_event_iterator

    async def events() -> AsyncIterator[Any]:
        async for event in theirs():
            say(text_in(event))
            yield event

    reached._get_event_iterator = events
