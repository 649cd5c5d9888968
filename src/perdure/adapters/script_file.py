"""A script: what a model answers, in a file.

The file is JSON, or TOML where it ends in `.toml`:

    {
      "capture": {"company": "Company: (.+)"},
      "rules": [
        {"step": "research", "turn": 1, "tool_calls": [{"name": "search", "arguments": {"q": "{{company}}"}}]},
        {"step": "research", "reply": {"company": "{{company}}", "facts": ["{{fact*}}"]}},
        {"when": "draft a mail", "reply": "Dear {{company|customer}}, ...", "delay": 0.2},
        {"reply": "I have nothing to say to that."}
      ]
    }

The first rule all of whose conditions hold answers: `step` (name of the step), `turn` (1 is the first of the
conversation), `when` (a text in the last message, whatever its case), `match` (a regular expression in it), `system`
(a text in what the system says), `tool` (one that is on offer), `model` (a text in its name) and `results` (how many
results of tools there are so far). Where none holds, the rules without any condition answer in their order: the first
of them in turn 1, the second in turn 2.

A rule may also have `reasoning`, `usage`, `finish` (`stop`, `length`, `content_filter`), `delay` (seconds before the
answer) and `pace` (seconds between two pieces of it, where it is streamed).

`{{name}}` stands for what a `capture` (of the file, or of the rule) or a named group of `match` found: the first
group, or the whole match. `{{name*}}` stands for all that it found: in a list, for as many items. `{{name|other}}`
stands for `other` where nothing was found. A capture searches all that the system, the user and tools have said, line
by line. Known without a capture: `{{prompt}}`, `{{last}}`, `{{step}}` and `{{turn}}`.

An answer depends on the request only: a worker that takes over gets the same one.

The model server of `perdure.testing` answers from the same file over HTTP. There no step has a name, so that a rule
with `step` never holds. What is in `faults` of the file is for that server only.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import ConfigError
from ..runtime.conversation.messages import (
    AssistantMessage,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from ..runtime.conversation.toolbox import in_words
from .templates import Missing, fill

__all__ = ["FileAnswer", "ScriptFile"]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"`{value}` is no regular expression: {error}") from error
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Call(_Part):
    name: str
    arguments: dict[str, Any] = {}


class _Tokens(_Part):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


class _Rule(_Part):
    step: str | None = None
    turn: int | None = Field(None, ge=1)
    when: str | None = None
    match: Pattern | None = None
    system: str | None = None
    tool: str | None = None
    model: str | None = None
    results: int | None = Field(None, ge=0)
    capture: dict[str, Pattern] = {}
    reply: Any = None
    tool_calls: list[_Call] = []
    reasoning: str | None = None
    usage: _Tokens | None = None
    finish: Literal["stop", "length", "content_filter"] | None = None
    delay: float = Field(0, ge=0)
    pace: float = Field(0, ge=0)

    @property
    def conditional(self) -> bool:
        """Whether it needs anything to hold."""
        return any(
            condition is not None
            for condition in (
                self.step,
                self.turn,
                self.when,
                self.match,
                self.system,
                self.tool,
                self.model,
                self.results,
            )
        )


class Script(_Part):
    """The content of a file."""

    capture: dict[str, Pattern] = {}
    rules: list[_Rule]
    faults: list[dict[str, Any]] = []
    """for the model server, which checks them: here there is no connection that could break"""


class _Scene(NamedTuple):
    """What of a request a rule may look at."""

    step: str
    turn: int
    prompt: str
    last: str
    heard: str
    """all that the model was told, in order"""
    system: str
    tools: tuple[str, ...]
    model: str
    results: int


class FileAnswer(NamedTuple):
    """What a rule answers."""

    reply: ModelReply
    structured: bool
    """the reply is a JSON value"""
    delay: float
    """seconds before the answer"""
    pace: float
    """seconds between two pieces of it, where it is streamed"""


class ScriptFile:
    """Rules in a file, which is read anew for each request. `name` is what messages and answers call it."""

    def __init__(self, path: Path, *, name: str) -> None:
        self.path = path
        self._name = name

    def answer(self, request: ModelRequest, *, asked: str = "") -> FileAnswer:
        """The answer of the first rule that fits, where the model `asked` was asked. Raises `ConfigError`."""
        script = self.load()
        scene = _scene(request, asked)
        rule = self._rule(script, scene)
        values = _values(script, rule, scene)
        try:
            reply = fill(rule.reply, values)
            calls = [fill(call.arguments, values) for call in rule.tool_calls]
        except Missing as missing:
            raise ConfigError(
                f"script `{self.path}`, rule {script.rules.index(rule) + 1}: {missing}, in {_where(scene)}; add a "
                "`capture` that finds it, or write `{{name|what else}}`"
            ) from missing
        structured = rule.reply is not None and not isinstance(rule.reply, str)
        said = ModelReply(
            text=json.dumps(reply, ensure_ascii=False) if structured else reply or "",
            tool_calls=tuple(
                ToolCall(id=f"call-{scene.turn}-{i}", name=call.name, arguments=arguments)
                for i, (call, arguments) in enumerate(zip(rule.tool_calls, calls, strict=True), 1)
            ),
            usage=Usage() if rule.usage is None else Usage(**rule.usage.model_dump()),
            model=f"scripted:{self.path.name}",
            finish_reason=rule.finish or ("tool_call" if rule.tool_calls else "stop"),
            reasoning=rule.reasoning,
        )
        return FileAnswer(said, structured, rule.delay, rule.pace)

    def load(self) -> Script:
        """Read the file. Raises `ConfigError` where it cannot be, or is no script."""
        path = self.path
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"the script of model `{self._name}` cannot be read ({error.strerror or error}); it was looked "
                f"for at `{path.absolute()}`"
            ) from error
        try:
            if path.suffix == ".toml":
                return Script.model_validate(tomllib.loads(text))
            return Script.model_validate_json(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"script `{path}` is no TOML: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"script `{path}` cannot be used: {in_words(error)}") from error

    def _rule(self, script: Script, scene: _Scene) -> _Rule:
        for rule in script.rules:
            if rule.conditional and _holds(rule, scene):
                return rule
        in_order = [rule for rule in script.rules if not rule.conditional]
        if scene.turn <= len(in_order):
            return in_order[scene.turn - 1]
        for_turns = f" (the rules without conditions are for turns 1 to {len(in_order)})" if in_order else ""
        by_step = f'`"step": "{scene.step}"`, or with ' if scene.step else ""
        raise ConfigError(
            f"script `{self.path}`: no rule fits {_where(scene)}, whose last message is `{scene.last[:200]}`; add a "
            f'rule with {by_step}a `"when"` that is in that message{for_turns}'
        )


def _scene(request: ModelRequest, asked: str) -> _Scene:
    told = [m for m in request.messages if not isinstance(m, AssistantMessage)]
    users = [m.text for m in told if isinstance(m, UserMessage)]
    return _Scene(
        step=_step_name(request.step),
        turn=1 + len(request.messages) - len(told),
        prompt=users[0] if users else "",
        last=told[-1].text if told else "",
        heard="\n".join(m.text for m in told),
        system="\n".join(m.text for m in told if isinstance(m, SystemMessage)),
        tools=tuple(tool.name for tool in request.tools),
        model=asked,
        results=sum(isinstance(m, ToolMessage) for m in told),
    )


def _step_name(key: str) -> str:
    """`gather.0/research:2/turn` is a turn of the step that the program calls `research`."""
    return key.rpartition("/")[0].rpartition("/")[2].partition(":")[0]


def _holds(rule: _Rule, scene: _Scene) -> bool:
    return (
        (rule.step is None or rule.step == scene.step)
        and (rule.turn is None or rule.turn == scene.turn)
        and (rule.when is None or rule.when.casefold() in scene.last.casefold())
        and (rule.match is None or re.search(rule.match, scene.last, re.MULTILINE) is not None)
        and (rule.system is None or rule.system.casefold() in scene.system.casefold())
        and (rule.tool is None or rule.tool in scene.tools)
        and (rule.model is None or rule.model.casefold() in scene.model.casefold())
        and (rule.results is None or rule.results == scene.results)
    )


def _values(script: Script, rule: _Rule, scene: _Scene) -> dict[str, list[str]]:
    values = {
        "prompt": [scene.prompt],
        "last": [scene.last],
        "step": [scene.step],
        "turn": [str(scene.turn)],
    }
    for name, pattern in {**script.capture, **rule.capture}.items():
        found = re.finditer(pattern, scene.heard, re.MULTILINE)
        values[name] = list(dict.fromkeys((m[1] if m.re.groups else m[0]).strip() for m in found))
    if rule.match is not None:
        match = re.search(rule.match, scene.last, re.MULTILINE)
        assert match is not None
        values.update({name: [text.strip()] for name, text in match.groupdict().items() if text is not None})
    return values


def _where(scene: _Scene) -> str:
    return f"turn {scene.turn}" + (f" of step `{scene.step}`" if scene.step else "")
