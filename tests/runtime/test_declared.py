"""What the tools of other frameworks do: declared by name, on the function, or in a file; else a write."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from perdure import ConfigError, Retry, declare
from perdure.adapters.frameworks import Frameworks
from perdure.runtime.frameworks.declared import Foreign, ToolTable, guess


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("get_order", "read"),
        ("searchFlights", "read"),
        ("list", "read"),
        ("set_address", "idempotent"),
        ("send_mail", "write"),
        ("checkout", "write"),  # not `check`
        ("frobnicate", "write"),
        ("create_or_get_order", "write"),
    ],
)
def test_a_name_is_only_a_hint(name: str, looks: str) -> None:
    assert guess(name).effect == looks


def test_annotations_and_methods_go_before_the_name() -> None:
    assert guess("send", hints={"readOnlyHint": True}).effect == "read"
    assert guess("frobnicate", hints={"method": "get"}).effect == "read"
    assert guess("frobnicate", hints={"method": "PUT"}).effect == "idempotent"


def test_who_declares_wins_over_what_it_looks_like() -> None:
    @declare("idempotent", retry=Retry(attempts=2))
    def get_ticket() -> str:
        return "7"

    table = ToolTable()
    assert get_ticket() == "7"  # usable as before
    assert table.find("get_ticket", get_ticket).effect == "idempotent"
    assert table.find("get_ticket", get_ticket).terms.retry == Retry(attempts=2)
    table.declare("write", "get_ticket")
    assert table.find("get_ticket", get_ticket).effect == "write"
    assert table.find("get_nothing").effect == "write"
    assert table.find("get_nothing").source == "undeclared"


def test_the_owner_is_told_once_what_counts_as_a_write_and_what_it_looks_like(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = ToolTable()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            table.tell("desk", [("get_order", table.find("get_order"), guess("get_order"))])
    (record,) = caplog.records
    assert (
        "counts as `write`; it looks like `read`, because its name begins with `get`" in record.getMessage()
    )


def test_a_file_is_read_and_what_is_wrong_in_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tools.toml"
    file.write_text('[tools.get_order]\neffect = "read"\n[uncovered]\nallow = ["web_search"]\n')
    table = ToolTable()
    table.load(file)
    assert table.find("get_order").effect == "read"
    assert table.allowed == {"web_search"}
    for text, complaint in [
        ('[tools.a]\neffect = "reads"\n', "effect `reads` is not one of read, idempotent, write, delegate"),
        ('[tools.a]\nkind = "read"\n', "it may say `effect` and `why`"),
        ('[tools.a]\neffect = "read"\nconfirmed = "no"\n', "confirmed `no` is neither true nor false"),
        ("tools = 3\n", r"write `\[tools.NAME\]`"),
        ("tools = \n", "not readable TOML"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            ToolTable().load(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        ToolTable().load(tmp_path / "absent.toml")


def test_a_table_that_proposes_writes_down_what_a_run_first_meets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tools.toml"
    table = ToolTable()
    table.load(file, propose=True)
    table.declare("write", "pay")
    told = [(name, table.find(name), guess(name)) for name in ("pay", "get_order", "find all/again")]
    for _ in range(2):
        table.tell("desk", told)
    assert f"was written into `{file}`, for you to confirm: `get_order`, `find all/again`" in caplog.text

    later = ToolTable()
    later.load(file, propose=True)
    assert later.find("get_order").source == "undeclared"
    assert later.unconfirmed("get_order")
    caplog.clear()
    later.tell("desk", [("get_order", later.find("get_order"), guess("get_order"))])
    assert "take `confirmed = false` away" in caplog.text
    file.write_text(file.read_text().replace("confirmed = false", "confirmed = true"))
    later.load(file)
    assert later.find("get_order").effect == "read"
    assert later.find("find all/again").source == "table"
    assert not later.unconfirmed("get_order")


def test_a_file_that_cannot_be_written_holds_no_run_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = ToolTable()
    table.load(tmp_path / "absent" / "tools.toml", propose=True)
    table.tell("desk", [("get_order", table.find("get_order"), guess("get_order"))])
    assert "its tools were not written down" in caplog.text


def test_what_no_adapter_knows_is_refused_with_what_they_know() -> None:
    with pytest.raises(
        ConfigError, match=r"builtins.dict` cannot be wrapped: Perdure knows agents of .*pydantic_ai"
    ):
        Frameworks().find({})


def test_the_key_of_an_effect_is_none_of_the_arguments_that_a_tool_is_known_by() -> None:
    async def execute(**arguments: object) -> object:
        return arguments

    tool = Foreign("send", ToolTable().find("send")).calling(execute)

    assert tool.bind((), {"to": "ann", "perdure_effect_key": "run/send"}) == {"to": "ann"}


def test_what_the_user_must_have_is_a_term_like_the_others() -> None:
    @declare("write", requires="payments:write")
    def pay() -> str:
        return "paid"

    table = ToolTable()
    assert table.find("pay", pay).terms.requires == {"payments:write"}
    table.declare("read", "rate", requires=["rates:read", "rates:list"])
    assert Foreign("rate", table.find("rate")).calling(pay).terms.requires == {"rates:read", "rates:list"}
    with pytest.raises(ConfigError, match="let the tools below it require that"):
        table.declare("delegate", "office", requires="payments:write")
    with pytest.raises(ConfigError, match="`a b` is no grant"):
        table.declare("read", "rate", requires="a b")
