"""`perdure connect`, `connections` and `vault`, on a real OAuth server: from nothing to an account, and back."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.testing import OAuthServer
from tests.cli.conftest import Answer, Cli

SECRET = "a-clients-secret"
KEY = "sk-canary-0123456789"

TOML = """
[providers.hub]
issuer = "{url}"
client_id = "perdure"
client_secret = "env:HUB_SECRET"
scopes = ["read"]

[providers.mail]
kind = "api_key"
"""


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with OAuthServer(client_secret=SECRET, interval=0) as server:
        yield server


@pytest.fixture(autouse=True)
def project(cli: Cli, server: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SECRET", SECRET)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_name="ann"))
    (cli.folder / "perdure.toml").write_text(TOML.format(url=server.url))
    cli("identity", "init")


class Typed(threading.Thread):
    """The user, who does what is asked of them while the command waits."""

    def __init__(self, do: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._do = do

    def run(self) -> None:
        end = time.monotonic() + 60
        while not self._do() and time.monotonic() < end:
            time.sleep(0.01)


def by_device(cli: Cli, server: OAuthServer, *options: str) -> Answer:
    """Connect with a user who agrees to each code that is handed out."""

    def agree() -> bool:
        waiting = [d for d in server._records.devices if d.agreed is None]
        for device in waiting:
            server.type_in(device.user_code)
        return bool(waiting)

    user = Typed(agree)
    user.start()
    answer = cli("connect", "hub", "--device", *options)
    user.join()
    return answer


def test_a_device_is_connected_listed_shown_and_revoked(cli: Cli, server: OAuthServer) -> None:
    assert cli("connections", "ls").code == 3, "no store yet"

    begun, made = by_device(cli, server, "--json").lines

    assert begun["open"] == f"{server.url}/device"
    assert made["user"] == "user:ann"
    assert (made["provider"], made["scopes"], made["state"], made["woken"]) == ("hub", ["read"], "good", [])
    (listed,) = cli("connections", "ls", "--json").json
    assert {**listed, "woken": []} == made
    assert "hub" in cli("connections", "ls").stdout
    assert cli("connections", "ls", "--user", "bob", "--json").json == []
    assert cli("connections", "ls", "--tenant", "other", "--json").json == []
    shown = cli("connections", "show", "hub", "--json").json
    assert (shown["version"], shown["waiting"]) == (1, [])
    assert "good" in cli("connections", "show", "hub").stdout

    assert cli("connections", "revoke", "hub", "--user", "bob").code == 4
    assert cli("connections", "revoke", "hub", "--json").json["provider_told"] is True
    assert server.count("revoke") == 2, "both tokens"
    assert cli("connections", "show", "hub").code == 4
    assert "perdure connect hub --user ann" in cli("connections", "show", "hub").stderr


def test_s34_no_command_tells_a_secret(cli: Cli, server: OAuthServer) -> None:
    there = {"token": "token", "device_authorization": "device", "revocation": "revoke"}
    lines = "\n".join(f'{name}_endpoint = "{server.url}/{path}"' for name, path in there.items())
    toml = TOML.format(url=server.url).replace(f'issuer = "{server.url}"', lines)
    (cli.folder / "perdure.toml").write_text(toml)
    said = [by_device(cli, server, *more) for more in (["--json"], ["--verbose"])]
    said += [cli("connect", "mail", *more, input=KEY) for more in (["--json"], ["--verbose"])]
    for command in (["ls"], ["show", "hub"], ["show", "mail"], ["revoke", "mail"], ["revoke", "hub"]):
        if command == ["revoke", "hub"]:
            server.stop()  # so that it fails, with a traceback
        said += [cli("connections", *command, *more) for more in (["--json"], ["--verbose"])]
    said.append(cli("vault", "rotate", "--new-key", "--json"))
    master = (cli.folder / ".perdure/master.key").read_text().split()
    server.start()

    told = repr(said)
    assert len(server.secrets()) >= 4
    for secret in (*server.secrets(), KEY, SECRET, *master):
        assert secret not in told


def test_a_browser_comes_back_to_an_address_of_this_machine(
    cli: Cli, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def opens(url: str) -> bool:
        opened.append(url)
        urllib.request.urlopen(url).close()
        return True

    monkeypatch.setattr("webbrowser.open", opens)

    begun, made = cli(
        "connect", "hub", "--user", "user:bob", "--scope", "read", "--scope", "write", "--json"
    ).lines

    assert opened == [begun["open"]]
    assert "code_challenge_method=S256" in begun["open"]
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A" in begun["open"]
    assert (made["user"], made["by"], made["scopes"]) == ("user:bob", "user:bob", ["read", "write"])


def test_a_user_who_says_no(cli: Cli, server: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.disagree()
    monkeypatch.setattr("webbrowser.open", lambda url: urllib.request.urlopen(url).close())

    answer = cli("connect", "hub", "--json")

    assert answer.code == 1
    assert "access_denied" in answer.lines[-1]["error"]["message"]
    assert cli("connections", "ls", "--json").json == []


def test_an_api_key_comes_from_standard_input_or_a_file(cli: Cli, tmp_path: Path) -> None:
    made = cli("connect", "mail", "--json", input=f"{KEY}\n")
    assert made.code == 0, made
    (tmp_path / "key").write_text(KEY)
    again = cli("connect", "mail", "--key-file", str(tmp_path / "key"), "--json").json

    assert again["version"] == 2
    assert again["kind"] == "api_key"
    assert cli("connect", "mail", input="two\nlines").code == 2
    assert cli("connect", "hub", "--key-file", str(tmp_path / "key")).code == 2
    revoked = cli("connections", "revoke", "mail", "--json")
    assert (revoked.code, revoked.json["provider_told"]) == (0, False)
    for answer in (made, revoked):
        assert KEY not in repr(answer)


def test_a_run_that_waits_says_how_and_goes_on(cli: Cli, server: OAuthServer) -> None:
    scene = ["--app", f"{Path(__file__).with_name('connection_scene.py')}:app"]
    assert cli("run", "desk", "--no-wait", "--id", "r1", *scene).code == 0
    assert cli("worker", "--once", *scene).code == 0
    assert cli("connections", "show", "hub", "--json").json["waiting"] == ["r1"]
    assert "perdure connect hub --user ann" in cli("runs", "show", "r1", *scene).stdout

    _, made = by_device(cli, server, "--user", "ann", "--json").lines

    assert made["woken"] == ["r1"]
    assert made["scopes"] == ["read", "write"], "what is set, and what the run waits for"
    assert cli("worker", "--once", *scene).code == 0
    assert cli("runs", "show", "r1", "--json", *scene).json["status"] == "succeeded"


def test_master_keys_are_rotated_and_the_old_one_goes(cli: Cli, server: OAuthServer) -> None:
    (cli.folder / "perdure.toml").write_text(
        TOML.format(url=server.url).replace("env:HUB_SECRET", "sealed:.perdure/hub.secret")
        + '[identity]\ntrust_domain = "agents.example.org"\n'
    )
    assert cli("vault", "secret", "hub", input=f"{SECRET}\n").code == 0
    cli("identity", "rotate", "desk@1", "--now")
    for user in ("ann", "bob"):
        assert by_device(cli, server, "--user", user).code == 0
    master = cli.folder / ".perdure/master.key"
    old = master.read_text()

    told = cli("vault", "rotate", "--new-key", "--json").json

    new, *before = master.read_text().split()
    assert before == old.split()
    assert master.stat().st_mode & 0o077 == 0
    assert (told["users"], told["agents"], told["secrets"]) == (2, 1, 1)
    master.write_text(new)
    assert cli("vault", "rotate", "--json").json == {
        "current": told["current"], "others": [], "users": 0, "people": 0, "agents": 0, "audit": 0, "secrets": 0
    }  # fmt: skip
    assert cli("identity", "ls", "--json").json[0]["version"] == "1"
    assert cli("connections", "revoke", "hub", "--user", "ann", "--json").json["provider_told"] is True


def test_a_user_is_forgotten(cli: Cli, server: OAuthServer) -> None:
    assert by_device(cli, server).code == 0
    cli("connect", "mail", input=KEY)

    assert cli("vault", "forget", "ann", "--json").code == 2, "it asks first"
    assert sorted(cli("vault", "forget", "ann", "--yes", "--json").json["forgotten"]) == ["hub", "mail"]
    assert cli("connections", "ls", "--json").json == []


def test_a_provider_that_cannot_be_told_is_said(cli: Cli, server: OAuthServer) -> None:
    assert by_device(cli, server).code == 0
    server.stop()

    answer = cli("connections", "revoke", "hub", "--json")

    assert answer.code == 1
    assert answer.json["provider_told"] is False
    assert cli("connections", "ls", "--json").json == []
    server.start()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('client_secret = "hunter2hunter2"', "env:NAME"),
        ('client_sekret = "hunter2hunter2"', "client_sekret"),
        ('client_id = ""', "client_id"),
        ('token_endpoint = "http://hub.example.com/token"', "https"),
        ('auth_method = "client_secret_basic"', "needs a `client_secret`"),
        ('kind = "api_key"', "is for `oauth2`"),
        ("redirect_port = 70000", "redirect_port"),
        ("parameters = { access_type = 1 }", "parameters"),
    ],
)
def test_settings_that_cannot_be_used_are_named(cli: Cli, written: str, says: str) -> None:
    table = {"issuer": '"https://hub.example.com"', "client_id": '"perdure"'}
    name, _, value = written.partition(" = ")
    lines = [f"{key} = {text}" for key, text in {**table, name: value}.items()]
    (cli.folder / "perdure.toml").write_text("[providers.hub]\n" + "\n".join(lines))

    answer = cli("connect", "hub", "--json")

    assert answer.code == 2
    message: Any = answer.json["error"]["message"]
    assert "providers.hub" in message
    assert says in message
    assert "hunter2" not in repr(answer)


def test_the_doctor_looks_at_what_is_needed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> tuple[str, str]:
        return next(
            (c["state"], c["found"]) for c in cli("doctor", "--json").json["checks"] if c["check"] == "vault"
        )

    assert found()[0] == "ok"
    monkeypatch.delenv("HUB_SECRET")
    assert found()[0] == "fail"
    assert "`HUB_SECRET`, which is not set" in found()[1]
    monkeypatch.setenv("HUB_SECRET", SECRET)
    (cli.folder / ".perdure/master.key").chmod(0o644)
    assert "chmod 600" in found()[1]


def test_a_provider_that_nobody_knows(cli: Cli) -> None:
    answer = cli("connect", "nowhere")

    assert answer.code == 2
    assert "[providers.nowhere]" in answer.stderr
    assert "`hub`, `mail`" in answer.stderr
    assert json.loads(cli("connect", "nowhere", "--json").stdout)["error"]["exit"] == 2
