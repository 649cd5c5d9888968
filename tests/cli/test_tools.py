"""`perdure agents tools`: every tool that an app wraps, found without a run; what nobody declared, for its owner."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents", reason='pip install "perdure[openai-agents]"')
pytest.importorskip("google.adk", reason='pip install "perdure[google-adk]"')
pytest.importorskip("strands", reason='pip install "perdure[strands]"')
pytest.importorskip("langgraph", reason='pip install "perdure[langgraph]"')

from pydantic_ai import Agent
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.native_tools import WebSearchTool

from perdure import App, Run

from .conftest import Cli

DESK = '''
from agents import Agent, WebSearchTool, function_tool
from google.adk.agents import LlmAgent
from google.adk.tools import AgentTool
from langchain_core.tools import tool as chain_tool
from pydantic_ai import Agent as Pydantic
from strands import Agent as Strands, tool as strand

from perdure import App, Run, declare

app = App("memory://")

@function_tool
def get_seat(flight: str) -> str:
    return "12A"

@function_tool
def rebook(flight: str) -> str:
    return "done"

expert = Agent(name="expert", tools=[get_seat])
triage = Agent(name="triage", tools=[rebook, WebSearchTool(), expert.as_tool("ask", "an expert")], handoffs=[expert])

@declare("idempotent")
def set_address(street: str) -> str:
    return street

def send_mail(to: str) -> str:
    return to

inner = LlmAgent(name="inner", tools=[set_address])
line = LlmAgent(name="line", sub_agents=[LlmAgent(name="first", tools=[send_mail, AgentTool(inner)])])

heart = Pydantic("test", name="heart")
clinic = Pydantic("test", name="clinic", defer_model_check=True)

@heart.tool_plain
def list_beats() -> str:
    return "60"

@clinic.tool_plain
async def ask_heart(question: str) -> str:
    return (await heart.run(question)).output

@strand
def weather(city: str) -> str:
    return city

clerk = Strands(name="clerk", tools=[weather], callback_handler=None)

@chain_tool
def publish(text: str) -> str:
    """Publish."""
    return text

def graph():
    return [publish]  # made when it is wanted

@app.agent("airline")
async def airline(run: Run, task: str) -> str:
    return (await run.wrap(triage)(task)).final_output

@app.agent("post")
async def post(run: Run, task: str) -> str:
    return await talk(run, task)

async def talk(run: Run, task: str) -> str:
    return (await run.wrap(line)(task)).text

@app.agent("clinic")
async def ask(run: Run, task: str) -> str:
    return (await run.wrap(clinic)(task)).output

@app.agent("hidden")
async def hidden(run: Run, task: str) -> str:
    return str(await run.wrap(made())(task))

def made():
    return globals()["clerk"]

@app.agent("report")
async def report(run: Run, task: str) -> str:
    return str(await run.wrap(graph())(task))

@app.agent("plain")
async def plain(run: Run, task: str) -> str:
    return task

app.effects.wraps("hidden", clerk)
app.effects.declare("write", "rebook")
if __import__("os").path.exists(FILE):
    app.effects.load(FILE)
'''


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "tools_desk.py"
    file.write_text(f"FILE = {str(tmp_path / 'tools.toml')!r}\n{DESK}")
    yield f"{file}:app"
    sys.modules.pop("tools_desk", None)


def test_tools_of_every_framework_are_listed_with_who_declared_them_and_what_they_look_like(
    cli: Cli, desk: str
) -> None:
    told = cli("agents", "tools", desk, "--json").json

    rows = {(t["agent"], t["tool"]): (t["effect"], t["source"], t["looks_like"]) for t in told["tools"]}
    assert rows == {
        ("airline", "rebook"): ("write", "table", "write"),
        ("airline", "ask"): ("delegate", "declared", "delegate"),
        ("airline", "get_seat"): ("write", "undeclared", "read"),
        ("post", "send_mail"): ("write", "undeclared", "write"),
        ("post", "inner"): ("delegate", "declared", "delegate"),
        ("post", "set_address"): ("idempotent", "declared", "idempotent"),
        ("clinic", "ask_heart"): ("write", "undeclared", "delegate"),
        ("clinic", "list_beats"): ("write", "undeclared", "read"),
        ("hidden", "weather"): ("write", "undeclared", "write"),
        ("report", "publish"): ("write", "undeclared", "write"),
    }
    assert told["uncovered"] == [{"agent": "airline", "tool": "web_search", "allowed": False}]
    assert told["without"] == ["plain"]
    shown = cli("agents", "tools", desk, columns="160")
    assert "read: its name begins with `get`" in shown.stdout
    assert "airline: `web_search` is run by its provider" in shown.stderr
    assert "plain: its code names no agent of another framework" in shown.stderr


def test_a_file_is_begun_and_completed_and_counts_only_where_its_owner_confirms(
    cli: Cli, desk: str, tmp_path: Path
) -> None:
    file = tmp_path / "tools.toml"
    file.write_text('# ours\n[tools.get_seat]\neffect = "read"  # Ada said so\n')

    told = cli("agents", "tools", desk, "--write", str(file), "--json").json

    assert told["added"] == ["send_mail", "ask_heart", "list_beats", "weather", "publish"]
    assert file.read_text().startswith('# ours\n[tools.get_seat]\neffect = "read"  # Ada said so\n')
    written = tomllib.loads(file.read_text())["tools"]
    assert written["list_beats"] == {
        "effect": "read",
        "why": "its name begins with `list`",
        "confirmed": False,
    }

    file.write_text(file.read_text().replace("confirmed = false", "", 1))  # of send_mail
    sys.modules.pop("tools_desk")
    again = {t["tool"]: t for t in cli("agents", "tools", desk, "--write", str(file), "--json").json["tools"]}
    assert (again["get_seat"]["effect"], again["get_seat"]["source"]) == ("read", "table")
    assert (again["send_mail"]["effect"], again["send_mail"]["source"]) == ("write", "table")
    assert (again["list_beats"]["effect"], again["list_beats"]["source"]) == ("write", "undeclared")
    assert again["list_beats"]["unconfirmed"]
    assert cli("agents", "tools", desk, "--write", str(file), "--json").json["added"] == []


def test_a_file_that_cannot_be_completed_stays_as_it_was(cli: Cli, desk: str, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    for text, complaint in [
        ('tools = {get_seat = {effect = "read"}}\n', "cannot be added to it"),
        ("tools = \n", "not readable TOML"),
    ]:
        file.write_text(text)
        answer = cli("agents", "tools", desk, "--write", str(file))
        assert answer.code == 2
        assert complaint in answer.stderr
        assert file.read_text() == text


def test_what_a_model_can_use_unseen_stands_in_the_story_of_its_run(cli: Cli) -> None:
    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart("found nothing")])

    model = FunctionModel(answer, profile={"supported_native_tools": frozenset([WebSearchTool])})
    agent = Agent(model, name="desk", capabilities=[NativeTool(WebSearchTool())])
    app = App(cli.store)
    app.effects.allow("web_search")

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return (await run.wrap(agent)(task)).output

    async def drive() -> str:
        async with app:
            run = await app.start(desk, "go")
            await run.result()
            return run.ref.id

    run_id = asyncio.run(drive())
    record: Any = cli.record(run_id)
    assert record["uncovered"] == [{"tool": "web_search", "turns": 1}]
    assert "web_search, offered in 1 turn" in cli("runs", "show", run_id, columns="200").stdout
