"""`scripted:PATH`: a model that answers from a file, for demos and tests without a key.

What stands in the file is told in `script_file`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..runtime.conversation.messages import ModelReply, ModelRequest
from .script_file import ScriptFile

__all__ = ["ScriptedModel"]

PREFIX = "scripted:"


class ScriptedModel:
    """Answers by the rules of one file. The file is read for each request, so that a change counts at once."""

    def __init__(self, model: str) -> None:
        path = Path(model.removeprefix(PREFIX)).expanduser()
        self._file = ScriptFile(path, name=model)
        self._file.load()

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        """The answer of the first rule that fits. Raises `ConfigError` where none does."""
        answer = self._file.answer(request, asked=model)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        return answer.reply
