"""Which request gets which answer. The protocol does not matter here: chat completions it is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from perdure import ConfigError
from perdure.testing import Fault, FaultRule, ModelServer, Reply, Rule, Rules, Turns
from perdure.testing.model_server import Request, Script, asks, breaks, gives, says
from tests.testing.model_server.clients import SCHEMA, chat

openai = pytest.importorskip("openai", reason='needs openai: pip install "perdure[models]"')

FIND = [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}]


def talk(server: ModelServer, *said: str, system: str = "", **more: Any) -> str:
    """The answer to the last of what was said, each before it answered by something."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for text in said:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "so"}]
    message = chat(server, messages[:-1], **more).choices[0].message
    return message.content or message.tool_calls[0].function.name


def test_a_list_answers_in_the_order_in_which_requests_come():
    with ModelServer([says("one"), says("two")]) as server:
        assert [talk(server, "a"), talk(server, "b")] == ["one", "two"]
        with pytest.raises(openai.BadRequestError, match="request 3 was not expected: 2 answers were given"):
            talk(server, "c")


def test_turns_answer_each_conversation_for_itself_however_many_there_are():
    with ModelServer(Turns([says("one"), says("two")])) as server, ThreadPoolExecutor(8) as pool:
        both = [
            pool.submit(talk, server, name, *more) for name in map(str, range(20)) for more in ((), ("y",))
        ]
        assert [f.result() for f in both] == ["one", "two"] * 20
        assert (server.count(turn=1), server.count(turn=2), server.outcomes["answered"]) == (20, 20, 40)
        with pytest.raises(openai.BadRequestError, match="turn 3 was not expected: the script has 2"):
            talk(server, "a", "b", "c")


def test_attempts_at_a_turn_are_counted_for_each_turn_of_each_conversation():
    flaky = [Fault("rate_limited", retry_after=1), Fault("overloaded"), says("at last")]
    with ModelServer(Turns([flaky, flaky])) as server:
        for said in (("a",), ("b",), ("a", "more")):
            with pytest.raises(openai.RateLimitError):
                talk(server, *said)
            with pytest.raises(openai.InternalServerError):
                talk(server, *said)
            assert [talk(server, *said), talk(server, *said)] == ["at last", "at last"]
    assert server.outcomes == {"rate_limited": 3, "overloaded": 3, "answered": 6}


RULES = Rules(
    [
        Rule(says("by test"), test=lambda request: request.settings.get("temperature") == 0),
        Rule(says("by model"), model="nano"),
        Rule(says("by results"), results=1),
        Rule(says("by turn"), turn=2),
        Rule(says("by system"), system="a Pirate"),
        Rule(says("by pattern"), match=r"^order \d+$"),
        Rule(asks("find", q="a"), tool="find"),
        Rule(says("by text"), when="HELLO"),
    ]
)


@pytest.mark.parametrize(
    ("said", "more", "answer"),
    [
        (("hello",), {"temperature": 0}, "by test"),
        (("hello",), {"model": "gpt-5-nano"}, "by model"),
        (("hello", "again"), {}, "by turn"),
        (("hello",), {"system": "You are a pirate."}, "by system"),
        (("order 66",), {}, "by pattern"),
        (("hello",), {"tools": FIND}, "find"),
        (("oh hello",), {}, "by text"),
    ],
)
def test_the_first_rule_that_holds_answers(said: tuple[str, ...], more: dict[str, Any], answer: str):
    with ModelServer(RULES) as server:
        assert talk(server, *said, **more) == answer


def test_a_rule_by_the_number_of_results():
    made = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
    ]
    with ModelServer(RULES) as server:
        assert chat(server, said).choices[0].message.content == "by results"


def test_no_rule_is_said_to_the_client():
    with (
        ModelServer(RULES) as server,
        pytest.raises(openai.BadRequestError, match=r"no rule fits turn 1.*`bye`"),
    ):
        talk(server, "bye")


def test_a_function_may_be_the_script():
    def plain(request: Request) -> Reply | Fault:
        return says(request.last.upper()) if request.turn == 1 else Fault("context_exceeded")

    async def slow(request: Request) -> Reply:
        return says(f"turn {request.turn}")

    with ModelServer(plain) as server:
        assert talk(server, "x") == "X"
        with pytest.raises(openai.BadRequestError, match="context length"):
            talk(server, "x", "y")
    with ModelServer(slow) as server:
        assert talk(server, "x", "y") == "turn 2"


def test_a_function_that_fails_is_told_to_the_client():
    def broken(request: Request) -> Reply:
        raise KeyError("price")

    with ModelServer(broken) as server:
        for _ in range(2):  # and the server lives
            with pytest.raises(openai.InternalServerError, match="the script failed: KeyError: 'price'"):
                talk(server, "x")


def test_faults_strike_as_counted():
    def served(rule: FaultRule, *asked: tuple[str, ...]) -> str:
        with ModelServer(lambda _: says("ok"), faults=[rule]) as server:
            return "".join("." if ok(server, said) else "x" for said in asked)

    def ok(server: ModelServer, said: tuple[str, ...]) -> bool:
        try:
            return talk(server, *said) == "ok"
        except openai.InternalServerError:
            return False

    a, b, a2 = ("a",), ("b",), ("a", "more")
    assert served(FaultRule("overloaded", first=2), a, b, a, b) == "xx.."
    assert served(FaultRule("overloaded", first=1, skip=1), a, a, a) == ".x."
    assert served(FaultRule("overloaded", every=3), a, a, a, a, a) == "x..x."
    assert served(FaultRule("overloaded", first=1, per="conversation"), a, b, a, b, a2) == "xx..."
    assert served(FaultRule("overloaded", first=1, per="turn"), a, a, b, a2, a2) == "x.xx."
    assert served(FaultRule("overloaded", when="b"), a, b, a, b) == ".x.x"
    assert served(FaultRule(Fault("server_error"), turn=2), a, a2) == ".x"


def test_the_first_of_two_faults_wins_and_both_are_counted():
    faults = [FaultRule("server_error", first=1), FaultRule("overloaded", first=2)]
    with ModelServer(lambda _: says("ok"), faults=faults) as server:
        for status in (500, 503):
            with pytest.raises(openai.InternalServerError) as caught:
                talk(server, "x")
            assert caught.value.status_code == status
        assert talk(server, "x") == "ok"


def test_a_mistake_in_a_script_is_told_at_once():
    with pytest.raises(TypeError, match=r"rules go into `Rules\(\[...\]\)`"):
        ModelServer([Rule(says("x"))])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="there is no fault `on_fire`; there are rate_limited, "):
        Fault("on_fire")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a `status`"):
        Fault("status")
    assert breaks(418).status == 418


# files -----------------------------------------------------------------------------------------------------------

FILE = """
[capture]
company = "Company: (.+)"

[[rules]]
when = "company:"
turn = 1
[[rules.tool_calls]]
name = "find"
arguments = { q = "{{company}}" }

[[rules]]
tool = "final_answer"
reply = { angle = "{{company}} saves" }
usage = { input_tokens = 70, output_tokens = 30 }

[[rules]]
when = "long"
reply = "and so on"
finish = "length"
reasoning = "too much"

[[rules]]
reply = "hello"

[[faults]]
fault = "rate_limited"
retry_after = 3
first = 1
per = "turn"
when = "limited"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "script.toml"
    path.write_text(FILE)
    return path


def test_a_file_answers_as_it_does_for_scripted(path: Path):
    with ModelServer(path) as server:
        assert talk(server, "x") == "hello"
        (made,) = chat(server, "Company: Acme", tools=FIND).choices[0].message.tool_calls
        assert json.loads(made.function.arguments) == {"q": "Acme"}
        long = chat(server, "long").choices[0]
        assert (long.message.content, long.finish_reason) == ("and so on", "length")
        final = [{"type": "function", "function": {"name": "final_answer", "parameters": SCHEMA}}]
        said = [
            {"role": "user", "content": "Company: Acme"},
            {"role": "assistant", "content": "so"},
            {"role": "user", "content": "then?"},
        ]
        answer = chat(server, said, tools=final)
    (made,) = answer.choices[0].message.tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == (
        "final_answer",
        {"angle": "Acme saves"},
    )
    assert answer.usage.prompt_tokens == 70


def test_faults_of_a_file(path: Path):
    with ModelServer(str(path)) as server:
        with pytest.raises(openai.RateLimitError) as caught:
            talk(server, "limited")
        assert caught.value.response.headers["retry-after"] == "3"
        assert talk(server, "limited") == "hello"


def test_a_file_that_has_no_answer_says_so(path: Path):
    with (
        ModelServer(path) as server,
        pytest.raises(openai.BadRequestError, match=r"no rule fits turn 2, whose last"),
    ):
        talk(server, "x", "y")


@pytest.mark.parametrize(
    ("faults", "complaint"),
    [
        ('fault = "on_fire"', "`faults` of script `.*` cannot be used: .*rate_limited"),
        ('fault = "hang"\nfrist = 2', "frist"),
        ('fault = "status"', "needs a `status`"),
    ],
)
def test_a_file_with_a_mistake_is_refused(path: Path, faults: str, complaint: str):
    path.write_text(f"rules = []\n[[faults]]\n{faults}\n")
    with pytest.raises(ConfigError, match=complaint):
        ModelServer(path)


def test_structured_answers_are_text_where_no_form_was_asked_for():
    script: Script = [gives(["a", 1])]
    with ModelServer(script) as server:
        assert talk(server, "x") == '["a", 1]'
