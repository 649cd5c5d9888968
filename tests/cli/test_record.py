"""`perdure record`: of a program that knows nothing of it, as a process, and what it says of what it cannot do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.testing import Cassette, ModelServer
from perdure.testing.model_server import says
from tests.cli.conftest import Cli

PROGRAM = """
import json, os, sys, urllib.request

def post(url, body, **headers):
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)

said = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 9}
keys = {"Authorization": "Bearer canary-0123", "x-api-key": "canary-4567"}
one = post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", {"model": "gpt-5", **said}, **keys)
two = post(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", {"model": "claude", **said}, **keys)
print(one["choices"][0]["message"]["content"], two["content"][0]["text"])
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def program(cli: Cli) -> str:
    file = cli.folder / "program.py"
    file.write_text(PROGRAM)
    return str(file)


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer([says("hello"), says("world")]) as server:
        yield server


def recording(cli: Cli, upstream: ModelServer, *command: str, json: bool = True) -> list[str]:
    addresses = [f"openai={upstream.openai_url}", f"anthropic={upstream.url}"]
    given = [word for address in addresses for word in ("--upstream", address)]
    return ["record", *(["--json"] if json else []), "--out", "shop.json", *given, *command]


def test_a_program_is_recorded_and_then_needs_no_provider(
    cli: Cli, program: str, upstream: ModelServer
) -> None:
    answer = cli.finish(cli.start(*recording(cli, upstream, sys.executable, program, "3"), bare=True))

    assert answer.code == 3, answer
    assert answer.json["exchanges"] == 2
    assert answer.json["exit"] == 3
    assert answer.json["skipped"] == []
    assert "hello world" in answer.stderr, "with --json, stdout is ours"
    path = cli.folder / "shop.json"
    assert "canary" not in path.read_text()
    upstream.down()
    with ModelServer(Cassette(path)) as server:
        played = cli.finish(
            cli.start(*recording(cli, server, sys.executable, program, json=False), bare=True)
        )
    assert played.code == 0, played
    assert played.stdout == "hello world\n"
    assert "2 exchanges are in `shop.json`; look through it before it is committed" in played.stderr


SHOP = """
import json, os, urllib.error, urllib.request
from perdure import App, Run

app = App("memory://")

def ask(item):
    said = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": f"Which tool for a {item}?"}]}
    address = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    asked = urllib.request.Request(address, json.dumps(said).encode(), {"x-api-key": "canary-of-a-run"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)["content"][0]["text"]
    except urllib.error.HTTPError as error:
        error.close()
        raise

@app.tool(effect="read")
async def price(item: str) -> int:
    open("looked", "a").write(item)
    return 40

@app.agent("shop")
async def shop(run: Run, item: str) -> list:
    return [await run.step("ask", ask, item), await run.call(price, item)]
"""


def test_a_run_is_recorded_with_its_tools_and_tortured_without_a_provider(
    cli: Cli, upstream: ModelServer
) -> None:
    (cli.folder / "shop.py").write_text(SHOP)
    run = ["run", "shop", "--input", '"lamp"', "--app", "shop.py:app", "--store", cli.store]
    program = [sys.executable, "-m", "perdure.cli", *run]
    answer = cli.finish(cli.start(*recording(cli, upstream, *program), bare=True))

    assert answer.code == 0, answer
    assert (answer.json["exchanges"], answer.json["tools"]) == (1, 1)
    assert [(c.tool, dict(c.arguments), c.result) for c in Cassette("shop.json").tools] == [
        ("price", {"item": "lamp"}, 40)
    ]
    assert "canary" not in (cli.folder / "shop.json").read_text()
    (cli.folder / "looked").unlink()

    schedules = ["--schedule", "kill before result price", "--schedule", "kill before result ask"]
    given = ["torture", "shop.py:app", "--cassette", "shop.json", "--input"]
    tortured = cli(*given, '"lamp"', *schedules, "--json", bare=True)

    assert tortured.code == 0, tortured
    assert tortured.json["schedules"] == 3
    assert not (cli.folder / "looked").exists(), "the tool was played"
    other = cli(*given, '"lump"', bare=True)
    assert other.code == 2, other
    assert "has no such request; the nearest is exchange 1" in other.stderr


def test_nothing_recorded_leaves_the_file(cli: Cli) -> None:
    path = cli.folder / "shop.json"
    path.write_text("{}")

    answer = cli.finish(cli.start("record", "-o", "shop.json", sys.executable, "-c", "pass", bare=True))

    assert answer.code == 1, answer
    assert "no request came by" in answer.stderr
    assert "OPENAI_BASE_URL" in answer.stderr
    assert path.read_text() == "{}"


def test_what_is_not_recorded_is_told(cli: Cli, upstream: ModelServer) -> None:
    odd = PROGRAM.replace(
        'ANTHROPIC_BASE_URL"] + "/v1/messages"', 'OPENAI_BASE_URL"] + "/nothing?key=canary-89"'
    )
    no_json = 'b"--part" if "nothing" in url else json.dumps(body).encode()'
    (cli.folder / "program.py").write_text(odd.replace("json.dumps(body).encode()", no_json))

    answer = cli.finish(cli.start(*recording(cli, upstream, sys.executable, "program.py"), bare=True))

    assert answer.code == 1, answer
    assert answer.json["exchanges"] == 1
    assert answer.json["skipped"] == ["POST /v1/nothing?key=[redacted]: the request is no JSON"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--upstream", "openai", "true"], "`--upstream openai` is not of the form `NAME=URL`"),
        (
            ["--upstream", "cohere=https://x", "true"],
            "`cohere` is no provider that can be recorded: openai, anthropic",
        ),
        (
            ["--upstream", "openai=example.com", "true"],
            "the address `example.com` of `openai` is not of the form",
        ),
        (["--redact", "(", "true"], "`(` is no regular expression"),
        (["no-such-command"], "`no-such-command` cannot be run: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told(cli: Cli, words: list[str], says: str) -> None:
    answer = cli("record", *words, bare=True)
    assert answer.code == 2, answer
    assert says in answer.stderr


def test_a_provider_that_is_away_is_told_to_the_client(cli: Cli, program: str, upstream: ModelServer) -> None:
    upstream.down()
    answer = cli.finish(cli.start(*recording(cli, upstream, sys.executable, program), bare=True))

    assert answer.code == 1, answer
    assert answer.json["cassette"] is None
    assert "HTTP Error 502" in answer.stderr
    (why,) = answer.json["skipped"]
    assert why == "POST /v1/chat/completions: [Errno 111] Connection refused"
    assert not Path(cli.folder / "shop.json").exists()
