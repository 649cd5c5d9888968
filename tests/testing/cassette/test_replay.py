"""Record with the providers' own clients, take the provider away, play: the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.testing import Cassette, Fault, FaultRule, ModelServer, Recorder, Reply
from perdure.testing.model_server import asks, call, says
from tests.testing.model_server import clients

FIND: dict[str, Any] = clients.SCHEMA

TOOLS: dict[str, Any] = {
    "chat": [{"type": "function", "function": {"name": "find", "parameters": FIND}}],
    "responses": [{"type": "function", "name": "find", "parameters": FIND}],
    "messages": [{"name": "find", "input_schema": FIND}],
    "gemini": [{"function_declarations": [{"name": "find", "parameters_json_schema": FIND}]}],
}

each_protocol = pytest.mark.parametrize(
    "ask", [clients.chat, clients.responses, clients.messages, clients.gemini]
)
streamed_or_not = pytest.mark.parametrize("stream", [False, True])


def recorder(path: Path, upstream: ModelServer, **options: Any) -> Recorder:
    addresses = {"openai": upstream.openai_url, "anthropic": upstream.url, "gemini": upstream.url}
    return Recorder(path, upstreams=addresses, **options)


class There:
    """Where a recorder is, as the clients of the tests ask a server."""

    def __init__(self, recording: Recorder) -> None:
        self.openai_url = f"{recording.url}/openai"
        self.anthropic_url = f"{recording.url}/anthropic"
        self.gemini_url = f"{recording.url}/gemini"


def told(answer: Any) -> Any:
    """An answer, or the list of its events, without what the client itself adds."""
    if isinstance(answer, list):
        return [told(event) for event in answer]
    return answer.model_dump(mode="json", exclude={"sdk_http_response"}, warnings=False)


def recorded(path: Path, script: Any, *asks_: Callable[[Any], Any], **options: Any) -> list[Any]:
    with ModelServer(script) as upstream, recorder(path, upstream, **options) as recording:
        return [ask(There(recording)) for ask in asks_]


@each_protocol
@streamed_or_not
def test_the_answers_are_the_same_without_the_provider(
    ask: clients.Ask, stream: bool, tmp_path: Path
) -> None:
    path = tmp_path / "cassettes" / "talk.json"
    script = [
        Reply(
            text="I look it up: ü 🎈",
            calls=(call("find", q="a"), call("find", q="b", n=2)),
            tokens=(20, 9),
            cached=5,
        ),
        says('second, "quoted"\nand a new line'),
        says("third"),
    ]
    tools = TOOLS[ask.__name__]

    def talk(server: Any) -> list[Any]:
        said = [ask(server, prompt, stream=stream, tools=tools) for prompt in ("one", "two", "two")]
        return [told(one) for one in said]

    (live,) = recorded(path, script, talk)
    with ModelServer(Cassette(path)) as server:
        assert talk(server) == live
    assert len(Cassette(path).exchanges) == 3


@each_protocol
@streamed_or_not
def test_an_error_of_the_provider_is_the_same(ask: clients.Ask, stream: bool, tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    faults = [Fault("rate_limited", retry_after=7), Fault("bad_key"), says("at last")]

    def talk(server: Any) -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            with pytest.raises(Exception) as error:
                ask(server, stream=stream)
            response = getattr(error.value, "response", None)
            headers = getattr(response, "headers", {})
            found.append((type(error.value), str(error.value), headers.get("retry-after")))
        return [*found, told(ask(server, stream=stream))]

    (live,) = recorded(path, faults, talk)
    with ModelServer(path) as server:
        assert talk(server) == live


@each_protocol
@streamed_or_not
def test_an_answer_is_also_given_in_the_other_form(ask: clients.Ask, stream: bool, tmp_path: Path) -> None:
    path = tmp_path / "form.json"
    both = Reply(text="found two", calls=(call("find", q="a"), call("find", q="b")), tokens=(20, 9))

    def talk(server: Any, *, stream: bool) -> Any:
        usage = {"stream_options": {"include_usage": True}} if stream and ask is clients.chat else {}
        return ask(server, stream=stream, tools=TOOLS[ask.__name__], **usage)

    recorded(path, [both], lambda server: talk(server, stream=stream))
    with ModelServer(Cassette(path)) as server:
        answer = talk(server, stream=not stream)
    # and what was converted is what the provider would have sent, but for its ids
    with ModelServer([both]) as server:
        expected = talk(server, stream=not stream)
    assert told(answer) == told(expected)


@each_protocol
def test_faults_strike_what_was_recorded(ask: clients.Ask, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    recorded(path, [says("a long answer, of which half is lost")], lambda server: ask(server, stream=True))
    faults = [
        FaultRule("overloaded", first=1),
        FaultRule("cut_off", skip=1, first=1),
        FaultRule("cut_short", skip=2),
    ]

    with ModelServer(Cassette(path), faults=faults) as server:
        for _ in range(2):
            with pytest.raises(Exception):  # noqa: B017  # each client has its own
                ask(server, stream=True)
        short = json.dumps(told(ask(server, stream=True)))

    assert "lost" not in short
    assert server.outcomes == {"overloaded": 1, "cut_off": 1, "cut_short": 1}


def test_ids_that_a_framework_makes_up_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"

    def talk(server: Any, name: str) -> str:
        asked = {
            "id": name,
            "type": "function",
            "function": {"name": "find", "arguments": '{"q": "a", "n": 1}'},
        }
        said = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": name, "content": "nothing"},
        ]
        return clients.chat(server, said, stream=False, metadata={"at": name}).choices[0].message.content

    recorded(path, [says("so be it")], lambda server: talk(server, "call-1"))

    with ModelServer(path) as server:
        assert talk(server, "made-up-99") == "so be it"


def test_the_first_of_equal_requests_has_the_first_answer_and_the_last_stays(tmp_path: Path) -> None:
    path = tmp_path / "order.json"

    def ask(server: Any) -> str:
        return clients.messages(server).content[0].text

    recorded(path, [says("one"), says("two")], ask, ask)

    with ModelServer(path) as server:
        assert [ask(server) for _ in range(4)] == ["one", "two", "two", "two"]
    with ModelServer(path) as server:
        assert ask(server) == "one", "each server begins anew"


def test_a_request_that_was_not_recorded_is_told_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    tools = TOOLS["messages"]
    recorded(
        path,
        [says("one"), says("two")],
        lambda server: clients.messages(server, "Price of a lamp, please?", tools=tools),
        lambda server: clients.messages(
            server, "Is it in stock?", tools=tools, extra_body={"temperature": 0.2}
        ),
    )

    with ModelServer(path) as server:
        with pytest.raises(Exception) as asked:
            clients.messages(server, "Price of a lump, please?", tools=tools)
        with pytest.raises(Exception) as by_other:
            clients.chat(server)

    words = str(asked.value)
    assert "the nearest is exchange 1" in words
    assert "`messages[0].content` is `Price of a lump, please?`, and `Price of a lamp, please?`" in words
    assert f"perdure record --out {path} COMMAND" in words
    assert "has no request of openai-chat (`/v1/chat/completions`)" in str(by_other.value)
    assert server.outcomes == {"status": 2}


def test_what_differs_in_each_run_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "today.json"
    recorded(
        path,
        [says("it is")],
        lambda server: clients.messages(server, "Today is 2026-11-26. Is it Thursday?"),
        redact=[r"\d{4}-\d\d-\d\d"],
    )

    assert "Today is [redacted]. Is" in path.read_text()
    with ModelServer(path) as server:
        assert clients.messages(server, "Today is 2027-01-02. Is it Thursday?").content[0].text == "it is"
        with pytest.raises(Exception, match="nearest is exchange 1"):
            clients.messages(server, "Today is 2027-01-02. Is it Friday?")


def test_failures_can_be_left_out_where_an_answer_came_later(tmp_path: Path) -> None:
    path = tmp_path / "busy.json"

    def twice(server: Any) -> str:
        with pytest.raises(Exception, match="Overloaded"):
            clients.messages(server)
        return clients.messages(server).content[0].text

    recorded(path, [Fault("overloaded"), says("here I am")], twice)

    with ModelServer(Cassette(path, failures=False)) as server:
        assert clients.messages(server).content[0].text == "here I am"


def test_what_is_no_request_to_a_model_is_played_too(tmp_path: Path) -> None:
    import urllib.request

    path = tmp_path / "models.json"
    listed = {"data": [{"id": "gpt-5", "object": "model"}], "object": "list"}
    path.write_text(
        json.dumps(
            {
                "cassette": 1,
                "exchanges": [
                    {
                        "number": 1,
                        "provider": "openai",
                        "method": "GET",
                        "path": "/v1/models",
                        "answer": listed,
                    }
                ],
            }
        )
    )

    with ModelServer(path) as server:
        with urllib.request.urlopen(f"{server.openai_url}/models", timeout=20) as answer:
            assert json.load(answer) == listed
        with pytest.raises(Exception, match="404"):
            urllib.request.urlopen(f"{server.openai_url}/files", timeout=20)


def test_a_conversation_grows_by_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    system = "You are a shop assistant. " + "You are kind. " * 20

    def talk(server: Any) -> None:
        said: list[Any] = [
            {"role": "user", "content": "Hello, what do you have in stock? " + "A lamp? " * 20}
        ]
        for n in range(12):
            answer = clients.messages(server, said, system=system, tools=TOOLS["messages"])
            said += [
                {"role": "assistant", "content": answer.content[0].text},
                {"role": "user", "content": f"and {n}?"},
            ]

    recorded(path, lambda _: says("a lamp " * 30), talk)

    text = path.read_text()
    assert text.count("You are a shop assistant.") == 1
    assert text.count("Hello, what do you have") == 1
    assert text.count("and 3?") == 1
    whole = Cassette(path).exchanges
    assert len(whole[-1].request["messages"]) == 23
    assert whole[-1].request["system"] == system
    with ModelServer(path) as server:
        talk(server)


def test_what_asks_for_a_tool_asks_for_it_again(tmp_path: Path) -> None:
    path = tmp_path / "tool.json"
    tools = TOOLS["gemini"]

    def talk(server: Any) -> Any:
        return clients.gemini(server, tools=tools).function_calls[0].args

    (live,) = recorded(path, [asks("find", q="ü", n=3)], talk)

    with ModelServer(path) as server:
        assert talk(server) == live == {"q": "ü", "n": 3}
