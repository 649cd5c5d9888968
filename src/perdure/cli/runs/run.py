"""`perdure run`: start a run and, if asked to, work until it has ended."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, InvalidInput, RunPruned
from ..arguments import duration, json_text, labels
from ..command import Cli, command, show_error
from ..complete import agent_names
from ..outcome import Exit
from ..tree import root
from ..workers.worker import leave_at_once, logs, on_stop, with_settings
from .acting import for_whom

if TYPE_CHECKING:
    from ...app import App
    from ...core.ids import RunRef
    from ...journal import RunRecord
    from ...runtime import Agent

__all__ = ["typed_input"]

_OF_AN_END = ("why", "missing", "context", "to", "check", "undone")

HOPELESS = {"nondeterministic", "corrupt", "sealed", "no_worker_for_version", "not_importable"}
"""A wait for these does not end while this process waits for it."""


@command(root, "run", rich_help_panel="Work")
async def run(
    cli: Cli,
    agent: Annotated[
        str, typer.Argument(metavar="AGENT", help="The agent's name.", autocompletion=agent_names)
    ],
    input_: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Its input: JSON, @FILE, or - for stdin.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The run's id: started twice, it is one run.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="Repeatable.")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="3d", help="Cancelled when it takes longer.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option("--priority", metavar="N", help="Higher goes first; the agent's own if not given."),
    ] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option("--needs", metavar="LABEL", help="A label that its worker must have; repeatable."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who wants it, and so cannot approve what it asks for."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A user's OIDC token: it acts for them. - for stdin; or PERDURE_TOKEN.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Whose data it handles: `customer:7`.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Work here until it has ended, or only start it.")
    ] = True,
) -> int:
    """Start a run, and work until it has ended; its result goes to stdout. Exit 1 if it did not succeed."""
    logs(cli)
    app = cli.load_app()
    found = app.find_agent(agent)
    given = None if input_ is None else json_text(input_, what="the input")
    value = typed_input(found, given, given=input_ is not None)
    until = None if deadline is None else duration(deadline, what="--deadline")
    await app.open()
    try:
        handle = await app.start(
            found,
            value,
            run_id=run_id,
            labels=labels(label or ()),
            deadline=until,
            priority=priority,
            needs=needs,
            subject=subject,
            **for_whom(app, by=by, token_file=token_file),
        )
        if (await handle.record()).pruned_at is not None:
            raise RunPruned(
                f"run `{handle.ref}` was there before and was pruned: its result is gone; give another `--id`"
            )
        if not wait:
            if app.store.url == "memory://":
                raise ConfigError(
                    "a run in a `memory://` store ends with this process: leave out `--no-wait`"
                )
            cli.done(handle.id, {"run": handle.id, "started": True})
            return Exit.OK
        code, busy = await _work(cli, app, handle.ref)
    finally:
        await app.close()
    if busy:
        leave_at_once(code)
    return code


def typed_input(agent: Agent, value: Any, *, given: bool) -> Any:
    """JSON as the agent's own type. Raises `InvalidInput`, with what the agent takes."""
    try:
        loaded = agent.load_input(json.dumps(value).encode())
    except InvalidInput as error:
        takes = "" if agent.input is None else f"; it takes {_takes(agent.input.schema())}"
        if not given:
            raise InvalidInput(f"agent `{agent.name}` needs an input: `--input JSON`{takes}") from None
        raise InvalidInput(f"{error}{takes}") from None
    return loaded[0] if loaded else None


def _takes(schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"`{schema.get('type', 'JSON')}`"
    required = schema.get("required", ())
    names = [
        f'"{name}": {of.get("type", "…")}{"" if name in required else " (optional)"}'
        for name, of in schema["properties"].items()
    ]
    return "{" + ", ".join(names) + "}"


async def _work(cli: Cli, app: App, ref: RunRef) -> tuple[int, int]:
    """The exit code, and how many runs could not be left in time."""
    worker = app.new_worker(with_settings(cli, app.options))
    stopped = asyncio.Event()
    on_stop(cli, stopped.set)
    working = asyncio.create_task(worker.run())
    watching = asyncio.create_task(_watch(cli, app, ref))
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({working, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            return await _outcome(cli, app, watching.result()), worker.busy
        if working.done():
            working.result()
    finally:
        for task in (watching, stopping):
            task.cancel()
        worker.stop()
        await asyncio.gather(working, watching, stopping, return_exceptions=True)
    record = await app.store.get(ref)
    status = record.status.value if record is not None else "gone"
    cli.note(f"left as it is ({status}); it goes on with `{cli.hint('worker', app=True)}`")
    if cli.json:
        cli.answer({"run": ref.id, "status": status, "interrupted": True})
    return Exit.INTERRUPTED, worker.busy


async def _watch(cli: Cli, app: App, ref: RunRef) -> RunRecord:
    """Tell what the run does until it has ended, or waits for what cannot come by itself."""
    from contextlib import nullcontext

    from ...views.story import Story, tell
    from ..display.events import Teller
    from ..display.follow import follow
    from ..display.live import Pulse
    from ..display.screen import in_foreground

    story = Story()
    teller = Teller(cli.err, verbose=bool(cli.verbose))
    pulse = Pulse(cli.err, app.store.now) if not cli.json and in_foreground(cli.err) else None
    hinted: set[str] = set()
    record: RunRecord | None = None
    with pulse or nullcontext():
        async for record, entries in follow(app, ref):
            for entry in entries:
                tell(story, entry)
                if not cli.json and (line := teller.line(entry)) is not None:
                    cli.err.print(line, soft_wrap=True)
            if pulse is not None:
                pulse.see(record)
            if record.status.value == "waiting":
                _hints(cli, record, story, hinted)
                unread = record.inbox_seq > record.drained_seq
                if record.next_wake is None and not unread and set(record.reasons) & HOPELESS:
                    break
    assert record is not None
    return record


def _hints(cli: Cli, record: RunRecord, story: Any, hinted: set[str]) -> None:
    """Once for each wait: the command that ends it."""
    from ..display.question import answers

    run = record.ref.id
    waits: dict[str, list[str]] = {}
    for question in story.questions.values():
        waits[question.step] = answers(cli, run, question)
    for step in story.doubts:
        waits[f"{step} in doubt"] = [
            cli.hint("runs", "settle", run, step, "--happened", "RESULT"),
            cli.hint("runs", "settle", run, step, "--did-not-happen"),
        ]
    for step in story.steps.values():
        if step.state == "waiting" and step.waits_for == "signal":
            waits[step.key] = [cli.hint("signal", run, step.note.removeprefix("signal "), "PAYLOAD")]
    if "paused" in record.reasons:
        waits["paused"] = [cli.hint("runs", "resume", run)]
    for wait, lines in waits.items():
        if wait not in hinted:
            hinted.add(wait)
            cli.note("from another terminal:")
            for line in lines:
                cli.note("    " + line)


async def _outcome(cli: Cli, app: App, record: RunRecord) -> int:
    from ...app.endings import ending_of
    from ...journal import ENDINGS, RunStatus
    from ...views.story import story_of
    from ..display.boundary import ending_json
    from ..display.record import standing

    ended = record.status in ENDINGS  # else it waits for somebody, as a run does that does not replay
    last = (
        [await ending_of(app.store, record)]
        if ended
        else await app.store.read(record.ref, after=record.head - 1)
    )
    story = story_of(last)
    good = record.status is RunStatus.SUCCEEDED
    if cli.json:
        told = {"run": record.ref.id, "status": record.status.value, "reasons": list(record.reasons)}
        ending = {k: v for k, v in (ending_json(story.ending) or {}).items() if k in _OF_AN_END}
        cli.answer({**told, "result": story.result, "failure": story.failure, **ending})
    elif good:
        from rich.text import Text

        from ...views.words import pretty

        cli.out.print(Text(pretty(story.result, indent=2)), soft_wrap=True)
    else:
        if story.has_result:  # of a run that ended partial: what there is
            from rich.text import Text

            from ...views.words import pretty

            cli.out.print(Text(pretty(story.result, indent=2)), soft_wrap=True)
        why = standing(record, app.store.now())
        show_error(f"run `{record.ref}` {record.status.value}{f' {why}' if why else ''}")
        cli.note(cli.hint("runs", "show", record.ref.id))
    return Exit.OK if good else Exit.NOT_SO
