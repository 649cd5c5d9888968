"""Model turns of Strands as steps: the model behind an agent.

A model of Strands only streams. What is recorded is the finished message, as the fewest events that tell it: live as on
replay the framework builds its message from these. While the message is on its way, its text goes by as `Piece`s, which
the framework hands on without a look: it could not take back what it has heard of an attempt that failed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, cast

import pydantic_core
from strands.models.model import Model
from strands.types.session import decode_bytes_values, encode_bytes_values

from ...core.codec import Shape, own_shape
from ...core.errors import ConfigError, PerdureError
from ...runtime.conversation.messages import Usage
from ...runtime.frameworks.calling import without
from ...runtime.frameworks.crossing import Asked, Conversation, Offered, Piece, Seen, current
from ...runtime.frameworks.offering import Offering, offering_of
from ...runtime.frameworks.wrapping import Wrapping

__all__ = ["PIECE", "RecordedModel"]

PIECE = "perdurePiece"
"""Key of an event of ours among the model's; the value is a `Piece`."""

Events = list[dict[str, Any]]


# what comes back -----------------------------------------------------------------------------------------------------


def _dump(value: Any) -> bytes:
    return pydantic_core.to_json(encode_bytes_values(value))


def _load(data: bytes) -> Events:
    return decode_bytes_values(pydantic_core.from_json(data))


REPLY: Shape[Events] = own_shape(list, _dump, _load)
"""The events of one message."""


async def _read(stream: AsyncIterable[Any], show: Any) -> Events:
    """All events of a message, deltas of one kind joined; each text is shown as it comes."""
    events: Events = []
    async for event in stream:
        text = _text(event)
        if text:
            show(text)
        if not (events and _joined(events[-1], event)):
            events.append(copy.deepcopy(event))
    return events


def _text(event: dict[str, Any]) -> str:
    return event.get("contentBlockDelta", {}).get("delta", {}).get("text") or ""


def _joined(last: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether a delta could be added to the event before it."""
    if "contentBlockDelta" not in last or "contentBlockDelta" not in event:
        return False
    before: Any = last["contentBlockDelta"]
    after: Any = event["contentBlockDelta"]
    if before.get("contentBlockIndex") != after.get("contentBlockIndex"):
        return False
    held, more = before["delta"], after["delta"]
    if list(held) != list(more) or len(held) != 1:
        return False
    (kind,) = held
    if kind == "text":
        held["text"] += more["text"]
        return True
    inner = {"toolUse": "input", "reasoningContent": "text"}.get(kind)
    if inner is None or list(held[kind]) != [inner] or list(more[kind]) != [inner]:
        return False
    held[kind][inner] += more[kind][inner]
    return True


def _see(events: Events) -> Seen:
    texts: list[str] = []
    reasons: list[str] = []
    calls: list[str] = []
    usage, finish = Usage(), None
    for event in events:
        texts.append(_text(event))
        reasoning: Any = event.get("contentBlockDelta", {}).get("delta", {}).get("reasoningContent", {})
        reasons.append(reasoning.get("text") or "")
        use: Any = event.get("contentBlockStart", {}).get("start", {}).get("toolUse")
        if use:
            calls.append(str(use["name"]))
        finish = event.get("messageStop", {}).get("stopReason", finish)
        used: Any = event.get("metadata", {}).get("usage")
        if used:
            usage = Usage(
                input_tokens=used.get("inputTokens"),
                output_tokens=used.get("outputTokens"),
                cached_tokens=used.get("cacheReadInputTokens") or None,
                cache_write_tokens=used.get("cacheWriteInputTokens") or None,
            )
    return Seen(
        usage=usage,
        finish_reason=finish,
        calls=calls,
        text="".join(texts) or None,
        reasoning="".join(reasons) or None,
    )


def _taken(events: Events, offering: Offering | None) -> Events:
    """The events, the calls in them without what is not for their tools."""
    name = ""
    for event in events if offering is not None else ():
        start: Any = event.get("contentBlockStart", {}).get("start", {}).get("toolUse")
        if start:
            name = str(start["name"])
        use: Any = event.get("contentBlockDelta", {}).get("delta", {}).get("toolUse")
        if use and offering is not None:  # one for a block: its deltas are joined
            use["input"] = offering.taken(name, use["input"])
    if offering is not None and not name:
        last = next((event for event in reversed(events) if _text(event)), None)
        if last is not None:
            last["contentBlockDelta"]["delta"]["text"] = offering.answered(_text(last))
    return events


def _instructed(
    prompt: str | None, options: dict[str, Any], offering: Offering | None
) -> tuple[str | None, dict[str, Any]]:
    """What the model is told for every task, with what is asked of its answer."""
    if offering is None or not offering.instruction:
        return prompt, options
    blocks = options.get("system_prompt_content")
    if blocks:
        options = {**options, "system_prompt_content": [*blocks, {"text": offering.instruction}]}
    return "\n\n".join(t for t in (prompt, offering.instruction) if t), options


# what is asked -------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """As JSON says it."""
    return pydantic_core.from_json(pydantic_core.to_json(value, fallback=str, bytes_mode="base64"))


_PROVIDERS = {"gemini": "google", "openairesponses": "openai"}


def _full_name(model: Model) -> str:
    """`provider:name`, as prices and policies know models."""
    kind = type(model).__name__.removesuffix("Model").lower()
    name = _config(model).get("model_id") or type(model).__qualname__
    return f"{_PROVIDERS.get(kind, kind)}:{name}"


def _settings(model: Model) -> dict[str, Any]:
    told = _config(model)
    params: Any = told.pop("params", None)
    return {**{k: v for k, v in told.items() if k != "model_id"}, **(params or {})}


def _config(model: Model) -> dict[str, Any]:
    told: Any = _plain(model.get_config())
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _one_attempt(model: Model) -> Model:
    """A copy whose client does not try again by itself: of that the journal would know nothing."""
    made: Any = copy.copy(model)
    for name in ("client", "_custom_client"):
        client: Any = getattr(made, name, None)
        if hasattr(client, "with_options"):
            setattr(made, name, client.with_options(max_retries=0))
    if isinstance(getattr(made, "client_args", None), dict) and "openai" in type(model).__module__:
        made.client_args = {**made.client_args, "max_retries": 0}
    return made


_END = object()
"""of what is shown of a message"""


class RecordedModel(Model):
    """A model whose every message is a step of the run."""

    def __init__(self, model: Model, wrapping: Wrapping, raised: list[PerdureError]) -> None:
        if model.stateful:
            raise ConfigError(
                f"the model `{_full_name(model)}` of agent `{wrapping.name}` keeps the conversation at its provider, "
                "where a replay cannot find it as it was: use a model that is sent the whole conversation"
            )
        self._model = _one_attempt(model)
        self._name = _full_name(model)
        self._wrapping = wrapping
        self._raised = raised
        self._supports_structured_output = getattr(model, "_supports_structured_output", False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def context_window_limit(self) -> int | None:
        """That of the model."""
        return self._model.context_window_limit

    def update_config(self, **model_config: Any) -> None:
        """Change the settings of the model."""
        self._model.update_config(**model_config)

    def get_config(self) -> Any:
        """The settings of the model."""
        return self._model.get_config()

    async def count_tokens(self, *args: Any, **options: Any) -> int:
        """An estimate of the framework's own: a provider that is asked would be asked outside of any step."""
        return await Model.count_tokens(self, *args, **options)

    def structured_output(self, *args: Any, **options: Any) -> Any:
        """Raises `ConfigError`: it goes past the agent's loop."""
        raise ConfigError(
            "`agent.structured_output(...)` cannot be part of a run: give the agent `structured_output_model=...`"
        )

    async def stream(  # pyright: ignore[reportIncompatibleMethodOverride]  # Strands adds arguments between releases
        self,
        messages: Any,
        tool_specs: list[Any] | None = None,
        system_prompt: str | None = None,
        **options: Any,
    ) -> AsyncGenerator[Any]:
        """Pieces of the message as they come, then its recorded events."""
        if self._raised:
            raise self._raised[0]
        conversation = current()
        shown: asyncio.Queue[Any] = asyncio.Queue()
        live = False

        def show(text: str) -> None:
            shown.put_nowait({PIECE: conversation.piece(text)})

        asked = self._asked(conversation, messages, tool_specs or [], system_prompt, options)
        offering = offering_of(conversation, self._wrapping, asked.tools)

        async def ask() -> Events:
            nonlocal live
            live = True
            say = conversation.saying()

            def heard(text: str) -> None:
                say(text)
                show(text)

            specs = _shown_specs(tool_specs, offering)
            told, more = _instructed(system_prompt, options, offering)
            return _taken(await _read(self._model.stream(messages, specs, told, **more), heard), offering)

        terms = self._wrapping.terms_of(self._name)
        turn = asyncio.ensure_future(
            conversation.turn(ask, asked, shape=REPLY, see=_see, terms=terms, offering=offering)
        )
        turn.add_done_callback(lambda _: shown.put_nowait(_END))
        try:
            while (piece := await shown.get()) is not _END:
                yield piece
            try:
                events = await turn
            except PerdureError as error:
                self._raised.append(error)
                raise
            if not live:
                yield _recorded(conversation, events)
            for event in events:
                yield event
        finally:
            if not turn.done():
                turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)

    def _asked(
        self,
        conversation: Conversation,
        messages: Any,
        specs: list[Any],
        instructions: str | None,
        options: dict[str, Any],
    ) -> Asked:
        first = conversation.first
        return Asked(
            model=self._name,
            messages=without(_plain(messages), "toolUseId") if first else None,
            settings=_settings(self._model),
            tools=[
                Offered(s["name"], s.get("description"), s["inputSchema"].get("json", s["inputSchema"]))
                for s in specs
            ],
            output=_plain(options.get("tool_choice")),
            instructions=_plain(options.get("system_prompt_content") or instructions) if first else None,
            prompt_tokens=lambda: len(pydantic_core.to_json(messages, fallback=str)) // 4,
        )


def _shown_specs(specs: list[Any] | None, offering: Offering | None) -> list[Any] | None:
    """The tools as the model is to see them."""
    if offering is None or specs is None:
        return specs
    found: list[Any] = []
    for spec in specs:
        name, schema = spec["name"], spec["inputSchema"]
        if offering.offers(name):
            form = offering.form(name, schema.get("json", schema))
            found.append({**spec, "inputSchema": {"json": form} if "json" in schema else form})
    return found


def _recorded(conversation: Conversation, events: Events) -> dict[str, Piece]:
    return {PIECE: conversation.piece("".join(map(_text, events)), recorded=True)}
