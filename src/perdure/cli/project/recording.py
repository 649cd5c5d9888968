"""`perdure record`: run a command, and write down what it says to model providers and what they answer."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import root

if TYPE_CHECKING:
    from ...testing import Recorder

__all__ = ["record"]


@command(
    root,
    "record",
    rich_help_panel="Care",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
def record(
    cli: Cli,
    words: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="What to run, with its own options.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The cassette; it is replaced.")
    ] = Path("cassette.json"),
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream", metavar="NAME=URL", help="Where a provider is: openai, anthropic, gemini, vertex."
        ),
    ] = None,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", metavar="REGEX", help="Leave this out too, and let it be anything later."),
    ] = None,
) -> int:
    """Run a command, and keep its traffic with model providers in a cassette, without secrets.

    `ModelServer(Cassette(FILE))` answers from it, and so does `perdure torture --cassette FILE`. The exit code is the
    command's.
    """
    from ...testing import Recorder

    recorder = Recorder(out, upstreams=_addresses(upstream or ()), redact=redact or ())
    with recorder:
        code = _run(words, quiet=cli.json)
    _tell(cli, recorder, code)
    return code or (Exit.OK if recorder.exchanges or recorder.tools else Exit.NOT_SO)


def _addresses(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, url = one.partition("=")
        if not equals:
            raise ConfigError(
                f"`--upstream {one}` is not of the form `NAME=URL`, as `openai=https://host/v1`"
            )
        found[name] = url
    return found


def _run(words: Sequence[str], *, quiet: bool) -> int:
    """The exit code of a command, as a shell has it. Its words are no answer of ours."""
    try:
        child = subprocess.Popen(words, stdout=sys.stderr.fileno() if quiet else None)
    except OSError as error:
        raise ConfigError(f"`{words[0]}` cannot be run: {error.strerror or error}") from None
    with _passing_on(child):
        code = child.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _passing_on(child: subprocess.Popen[Any]) -> Generator[None]:
    """Signals end the command, and not the recording of it: Ctrl-C reaches it by itself."""

    def terminate(number: int, frame: object) -> None:
        child.terminate()

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(cli: Cli, recorder: Recorder, code: int) -> None:
    from ...views.words import command_line, safe

    exchanges, tools = recorder.exchanges, recorder.tools
    if cli.json:
        cli.answer(
            {
                "cassette": str(recorder.path) if exchanges or tools else None,
                "exchanges": len(exchanges),
                "streamed": sum(one.stream is not None for one in exchanges),
                "failures": sum(one.status >= 400 for one in exchanges),
                "tools": len(tools),
                "skipped": recorder.skipped,
                "exit": code,
            }
        )
        return
    for one in recorder.skipped:
        cli.note(safe(f"not recorded: {one}"))
    if not exchanges and not tools:
        names = ", ".join(sorted(name for name in recorder.environ() if name.lower() != "no_proxy"))
        cli.note(
            f"nothing was recorded, and `{recorder.path}` is as it was: no request came by. The program is led here by "
            f"{names}; a client that is given an address of its own does not look at them"
        )
        return
    calls = f" and {len(tools)} calls of tools" if tools else ""
    cli.note(
        safe(
            f"{len(exchanges)} exchanges{calls} are in `{recorder.path}`; look through it before it is committed"
        )
    )
    cli.note(
        safe(
            command_line("perdure", "torture", "TARGET", "--cassette", str(recorder.path))
            + " answers from it"
        )
    )
