"""`scripted:PATH`: a model that answers from a file, for demos and tests without a key.

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
conversation), `when` (a text in the last message, whatever its case) and `match` (a regular expression in it). Where
none holds, the rules without any condition answer in their order: the first of them in turn 1, the second in turn 2.

`{{name}}` stands for what a `capture` (of the file, or of the rule) or a named group of `match` found: the first
group, or the whole match. `{{name*}}` stands for all that it found: in a list, for as many items. `{{name|other}}`
stands for `other` where nothing was found. A capture searches all that the system, the user and tools have said, line
by line. Known without a capture: `{{prompt}}`, `{{last}}`, `{{step}}` and `{{turn}}`.

An answer depends on the request only: a worker that takes over gets the same one.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import ConfigError
from ..runtime.messages import AssistantMessage, ModelReply, ModelRequest, ToolCall, Usage, UserMessage
from ..runtime.toolbox import in_words
from .templates import Missing, fill

__all__ = ["ScriptedModel"]

PREFIX = "scripted:"


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
    capture: dict[str, Pattern] = {}
    reply: Any = None
    tool_calls: list[_Call] = []
    reasoning: str | None = None
    usage: _Tokens | None = None
    delay: float = Field(0, ge=0)

    @property
    def conditional(self) -> bool:
        return any(c is not None for c in (self.step, self.turn, self.when, self.match))


class _Script(_Part):
    capture: dict[str, Pattern] = {}
    rules: list[_Rule]


class _Scene(NamedTuple):
    """What of a request a rule may look at."""

    step: str
    turn: int
    prompt: str
    last: str
    heard: str
    """all that the model was told, in order"""


class ScriptedModel:
    """Answers by the rules of one file. The file is read for each request, so that a change counts at once."""

    def __init__(self, model: str) -> None:
        self._path = Path(model.removeprefix(PREFIX)).expanduser()
        self._load()

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        """The answer of the first rule that fits. Raises `ConfigError` where none does."""
        script = self._load()
        scene = _scene(request)
        rule = self._rule(script, scene)
        values = _values(script, rule, scene)
        if rule.delay:
            await asyncio.sleep(rule.delay)
        try:
            reply = fill(rule.reply, values)
            calls = [fill(call.arguments, values) for call in rule.tool_calls]
        except Missing as missing:
            raise ConfigError(
                f"script `{self._path}`, rule {script.rules.index(rule) + 1}: {missing}, in {_where(scene)}; add a "
                "`capture` that finds it, or write `{{name|what else}}`"
            ) from missing
        text = (
            reply
            if isinstance(reply, str)
            else ""
            if reply is None
            else json.dumps(reply, ensure_ascii=False)
        )
        return ModelReply(
            text=text,
            tool_calls=tuple(
                ToolCall(id=f"call-{scene.turn}-{i}", name=call.name, arguments=arguments)
                for i, (call, arguments) in enumerate(zip(rule.tool_calls, calls, strict=True), 1)
            ),
            usage=Usage() if rule.usage is None else Usage(**rule.usage.model_dump()),
            model=f"{PREFIX}{self._path.name}",
            finish_reason="tool_call" if rule.tool_calls else "stop",
            reasoning=rule.reasoning,
        )

    def _load(self) -> _Script:
        path = self._path
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"the script of model `{PREFIX}{path}` cannot be read ({error.strerror or error}); it was looked "
                f"for at `{path.absolute()}`"
            ) from error
        try:
            if path.suffix == ".toml":
                return _Script.model_validate(tomllib.loads(text))
            return _Script.model_validate_json(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"script `{path}` is no TOML: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"script `{path}` cannot be used: {in_words(error)}") from error

    def _rule(self, script: _Script, scene: _Scene) -> _Rule:
        for rule in script.rules:
            if rule.conditional and _holds(rule, scene):
                return rule
        in_order = [rule for rule in script.rules if not rule.conditional]
        if scene.turn <= len(in_order):
            return in_order[scene.turn - 1]
        raise ConfigError(
            f"script `{self._path}`: no rule fits {_where(scene)}, whose last message is `{scene.last[:200]}`; add a "
            f'rule with `"step": "{scene.step}"`, or with a `"when"` that is in that message'
        )


def _scene(request: ModelRequest) -> _Scene:
    told = [m for m in request.messages if not isinstance(m, AssistantMessage)]
    users = [m.text for m in told if isinstance(m, UserMessage)]
    return _Scene(
        step=_step_name(request.step),
        turn=1 + len(request.messages) - len(told),
        prompt=users[0] if users else "",
        last=told[-1].text if told else "",
        heard="\n".join(m.text for m in told),
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
    )


def _values(script: _Script, rule: _Rule, scene: _Scene) -> dict[str, list[str]]:
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
    return f"turn {scene.turn} of step `{scene.step}`"
