"""Errors that are awkward to look at, in a run and in its replay."""

from __future__ import annotations

import urllib.error
import urllib.request
from email.message import Message
from io import BytesIO

import pytest

from perdure import App, Run, RunFailed
from perdure.runtime.replay.failure import again, failure_of
from perdure.testing import ModelServer, SkippingClock


class Closed(Exception):
    """Asked for anything at all, it falls over."""

    def __getattr__(self, name: str) -> object:
        return self.__dict__["file"]


async def test_an_error_of_urllib_ends_a_run_and_is_caught_as_its_own_type() -> None:
    # Made without its `__init__`, it raises KeyError where anybody asks it for its notes: so did every traceback of it.
    app = App("memory://", clock=SkippingClock())

    def fetch(url: str) -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=20)
        except urllib.error.HTTPError as error:
            error.close()
            raise

    @app.agent("catches")
    async def catches(run: Run, url: str) -> str:
        try:
            await run.step("fetch", fetch, url)
        except urllib.error.HTTPError as error:
            await run.sleep(60)  # what comes after it is a replay
            return f"{error.code}: {error}"
        return "nothing"

    @app.agent("fails")
    async def fails(run: Run, url: str) -> None:
        await run.step("fetch", fetch, url)

    with ModelServer([]) as server:
        url = f"{server.url}/nothing"
        async with app:
            assert await (await app.start(catches, url)).result() == "404: HTTP Error 404: Not Found"
            with pytest.raises(RunFailed, match="HTTPError: HTTP Error 404: Not Found"):
                await (await app.start(fails, url)).result()


def test_what_it_has_not_is_no_attribute_of_it() -> None:
    with urllib.error.HTTPError("http://x", 500, "Oops", Message(), BytesIO()) as error:
        made = again(failure_of(error))
    assert isinstance(made, urllib.error.HTTPError)
    assert (made.code, str(made)) == (500, "HTTP Error 500: Oops")
    with pytest.raises(AttributeError, match="`anything` was not recorded of this HTTPError"):
        _ = made.anything  # type: ignore[attr-defined]


def test_an_error_that_cannot_be_shown_is_recorded_all_the_same() -> None:
    failure = failure_of(Closed("gone"))
    assert failure.message == "gone"
    assert "(the error itself cannot be shown: KeyError: 'file')" in failure.traceback
