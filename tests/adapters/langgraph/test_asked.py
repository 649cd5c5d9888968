"""What a turn of a graph is compared by: what follows from the journal is not said again."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from perdure.adapters.langgraph.models import asked_of
from perdure.runtime.frameworks.crossing import Asked
from tests.adapters.langgraph.models import Talker, says

CALL = {"name": "look", "args": {"n": 1}, "id": "c1", "type": "tool_call"}
HISTORY: list[BaseMessage] = [
    SystemMessage("be kind"),
    HumanMessage("hello"),
    AIMessage("a moment", tool_calls=[CALL]),
    ToolMessage("found", tool_call_id="c1"),
]


def asked(messages: list[BaseMessage], *, first: bool = True) -> Asked:
    return asked_of(Talker(answer=lambda _: says("yes")), messages, None, {}, first=first)


def test_all_that_is_said_before_the_first_answer_is_looked_at() -> None:
    said = asked(HISTORY[:2])
    assert [m["content"] for m in said.messages] == ["be kind", "hello"]
    assert said.instructions == ["be kind"]


def test_behind_an_answer_only_what_is_new_is_and_no_result_of_a_tool() -> None:
    said = asked([*HISTORY, HumanMessage("now be brief")])
    assert [m["content"] for m in said.messages] == ["now be brief"]
    assert said.instructions == ["be kind"]
    assert asked(HISTORY).messages == []


def test_later_turns_of_a_conversation_look_at_nothing() -> None:
    said = asked(HISTORY, first=False)
    assert said.messages is None and said.instructions is None


def test_a_budget_can_reserve_for_the_whole_prompt_whatever_is_compared() -> None:
    def tokens(messages: list[BaseMessage], **arguments: object) -> int:
        counted = asked_of(Talker(answer=lambda _: says("yes")), messages, None, arguments, first=False)
        assert counted.prompt_tokens is not None
        return counted.prompt_tokens()

    long = [*HISTORY, HumanMessage("word " * 400)]
    assert 400 < tokens(long) - tokens(HISTORY) < 800
    form = {"type": "object", "properties": {f"field_{n}": {"type": "string"} for n in range(50)}}
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": form}}
    assert tokens(HISTORY, tools=[tool]) - tokens(HISTORY) > 200
