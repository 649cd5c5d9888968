"""A model provider around another: it leaves a line in the evidence for every call that is really made."""

from __future__ import annotations

import asyncio
import zlib

from executions import note
from settings import Settings

import perdure


class Counted:
    """Answers for `counted:PROVIDER:NAME` with the model `PROVIDER:NAME` of the same app."""

    def __init__(self, app: perdure.App, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def request(self, model: str, request: perdure.ModelRequest) -> perdure.ModelReply:
        inner = model.partition(":")[2]
        lead = lead_of(request)
        note(self._settings.executions, "model", f"{lead}: {request.step}")
        if self._settings.scripted:
            # Leads are not equally fast, as with a real model.
            await asyncio.sleep(self._settings.pace * (0.7 + zlib.crc32(lead.encode()) % 64 / 100))
        return await self._app.models.provider(inner).request(inner, request)


def lead_of(request: perdure.ModelRequest) -> str:
    """The first line of each prompt is `Lead: COMPANY`."""
    prompt = next(m.text for m in request.messages if m.role == "user")
    return prompt.partition("\n")[0].removeprefix("Lead: ")
