"""What a server's answers come to: a result, or a call that is still open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from .answer import McpResult, Open, kept
from .connection import Connection
from .told import text_of

if TYPE_CHECKING:
    from .tasks import TaskTold

__all__ = ["Answering", "UnknownTask", "typed"]

M = TypeVar("M", bound=BaseModel)
_MOST_ASKED = 200_000
"""Characters of what a server asks back, and of its state."""


class UnknownTask(ConnectionError):
    """The server knows of no such task any more: nobody knows what came of it."""


def typed(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Answers as the SDK sends them."""
    import mcp_types as types

    found: dict[str, Any] = {}
    for name, answer in answers.items():
        kind = (
            types.ElicitResult if "action" in answer
            else types.ListRootsResult if "roots" in answer
            else types.CreateMessageResult
        )  # fmt: skip
        found[name] = kind.model_validate(answer)
    return found


class Answering:
    """Reads answers of one server, within its limits, without the secrets that it was handed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, answer: Any, key: str, unanswered: Sequence[str]) -> McpResult:
        """Of a call."""
        import mcp_types as types

        from .tasks import TaskCreated

        if isinstance(answer, TaskCreated):
            poll = None if answer.poll_interval_ms is None else answer.poll_interval_ms / 1000
            return McpResult(
                open=Open(key=key, task=answer.task_id, poll=poll, said=_short(answer.status_message))
            )
        if isinstance(answer, types.InputRequiredResult):
            asks = {
                name: one.model_dump(mode="json", by_alias=True, exclude_none=True)
                for name, one in (answer.input_requests or {}).items()
            }
            return self._asking(Open(key=key, asks=asks, state=answer.request_state))
        texts = [text_of(block) for block in answer.content]
        result = self.kept(texts, answer.structured_content, failed=bool(answer.is_error))
        return result.model_copy(update={"unanswered": tuple(unanswered)}) if unanswered else result

    def of_task(self, told: TaskTold, open_: Open) -> McpResult:
        """Of a task that was asked for."""
        import mcp_types as types

        match told.status:
            case "completed":
                answer = types.CallToolResult.model_validate(told.result or {}, by_name=False)
                return self.of(answer, open_.key, ())
            case "failed":
                said = (told.error or {}).get("message") or told.status_message or "the task failed"
                return self.kept([str(said)], None, failed=True)
            case "cancelled":
                return self.kept(
                    [f"the server cancelled the task: {_short(told.status_message)}"], None, failed=True
                )
            case _:
                poll = open_.poll if told.poll_interval_ms is None else told.poll_interval_ms / 1000
                asks = told.input_requests or {} if told.status == "input_required" else {}
                more = {"asks": asks, "poll": poll, "said": _short(told.status_message)}
                return self._asking(open_.model_copy(update=more))

    def asking_of_error(self, error: Any, key: str) -> McpResult:
        """Addresses that a person must have gone to before the call can be made."""
        listed = _list(_table(error.error.data).get("elicitations"))
        asks = {
            f"url {n}": {"method": "elicitation/create", "params": {**_table(one), "mode": "url"}}
            for n, one in enumerate(listed[:10])
        }
        return (
            self._asking(Open(key=key, asks=asks)) if asks else self.kept([error.message], None, failed=True)
        )

    def kept(self, texts: Sequence[str], structured: Any, *, failed: bool) -> McpResult:
        """A result."""
        most = self._connection.settings.most_output
        return kept(texts, structured, failed=failed, most=most, secrets=self._secrets())

    def clean(self, value: M) -> M:
        """A value without the secrets that the server was handed."""
        told = value.model_dump_json()
        for name, secret in self._secrets().items():
            told = told.replace(json.dumps(secret, ensure_ascii=False)[1:-1], f"[{name}]")
        return type(value).model_validate_json(told)

    def _asking(self, open_: Open) -> McpResult:
        told = json.dumps(open_.asks)
        if len(told) + len(open_.state or "") > _MOST_ASKED:
            return self.kept(["the server asks back more than can be kept"], None, failed=True)
        for name, secret in self._secrets().items():
            told = told.replace(json.dumps(secret)[1:-1], f"[{name}]")
        return McpResult(open=open_.model_copy(update={"asks": json.loads(told)}))

    def _secrets(self) -> dict[str, str]:
        settings = self._connection.settings
        given = {**settings.env, **settings.headers}
        secrets = {name: os.environ.get(where.partition(":")[2], "") for name, where in given.items()}
        if self._connection.account is not None and (credential := self._connection.account.credential):
            secrets["token"] = credential.reveal()
        # A short one would be found in every other word.
        return {name: value for name, value in secrets.items() if len(value) >= 6}


def _table(told: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _list(told: Any) -> list[Any]:
    return cast("list[Any]", told) if isinstance(told, list) else []


def _short(said: str | None) -> str:
    return (said or "")[:300]
