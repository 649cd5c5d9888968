"""A folder of policies loads to the letter, or says where and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import ConfigError
from perdure.governance.policy import Policies, PolicyFile, PolicySchema, ToolForm, judge, read_folder
from perdure.governance.policy.book import digest_of
from tests.governance.policy.conftest import LOOK, call

Load = Callable[..., Policies]
ALL = '@id("all") permit (principal, action, resource);\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('@id("a")\npermit (principal, action, resource) when { 1 + };', "organisation.cedar:2:49: unexpected token"),
        (
            ALL
            + '// why\n@id("x") forbid (principal, action == Action::"pay", resource)\n'
            + "  when { context.args.cent > 1 };",
            "organisation.cedar:4:18: attribute `args.cent` in context",
        ),
        (
            ALL + '@id("x") forbid (principal, action == Action::"pax", resource);',
            '2:39: unrecognized action `Action::"pax"`',
        ),
        (
            '@id("a") permit (principal, action == Action::"pay", resource) when { context.args.note == "x" };',
            "optional attribute `args.note`",
        ),
        ("permit (principal, action, resource);", 'has no `@id("...")`'),
        ('@id("a") @owner("me") permit (principal, action, resource);', "1:10: `@owner` says nothing here"),
        (ALL + ALL, "`all` is also the id of the policy at organisation.cedar:1:1"),
        (
            '@id("a") @gate("human") @role("x") permit (principal, action, resource);',
            'only `@gate("human")` and',
        ),
        ('@id("a") @gate("human") forbid (principal, action, resource);', "who may let the call pass?"),
        ('@id("a") @role("x") forbid (principal, action, resource);', "go with `@gate"),
        (
            '@id("a") @gate("human") @role("x") @quorum("0") forbid (principal, action, resource);',
            "`0` is no number of people",
        ),
        ('@id("a") permit (principal == ?principal, action, resource);', "templates are not used here"),
        ('@id("a") permit (principal, action, resource)', "unexpected end of input"),
        ('@id("a") permit (principal, action, resource) when { "unclosed };', "invalid token"),
    ],
)  # fmt: skip
def test_it_says_where_and_what(load: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(text)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["", "// nothing\n", '@id("x") forbid (principal, action, resource);'])
def test_s8_policies_that_permit_nothing_do_not_load(load: Load, text: str) -> None:
    with pytest.raises(ConfigError, match="permits anything"):
        load(text)


def test_a_semicolon_in_a_text_or_a_comment_ends_nothing(load: Load) -> None:
    policies = load(
        '// one; two\n@id("a") @reason("first; \\"second\\"; // third")\npermit (principal, action, resource);\n'
        '@id("b") forbid (principal, action == Action::"pay", resource) when { context.args.payee == ";" }; // end;'
    )
    assert [policy.id for policy in policies.all()["organisation"]] == ["a", "b"]
    assert judge(policies, call(arguments={"payee": ";", "cents": 1})).policies == ["b"]


def test_layers_are_folders(tmp_path: Path, schema: PolicySchema) -> None:
    for name, text in {
        "base.cedar": ALL,
        "team/night.cedar": '@id("night") forbid (principal, action, resource) when { context.hour < 6 };',
        "agent/desk/pay.cedar": '@id("pay") forbid (principal, action == Action::"pay", resource);',
        "README.md": "no policy",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    policies = Policies(read_folder(tmp_path), schema, where="policies")

    assert list(policies.all()) == ["organisation", "team", "agent desk"]
    assert judge(policies, call(hour=12)).policies == ["pay"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.cedar").write_text(ALL)
    with pytest.raises(ConfigError, match="is in no layer"):
        read_folder(tmp_path)


def test_the_digest_tells_versions_apart_by_their_files_alone() -> None:
    def digest(*texts: str) -> str:
        return digest_of([PolicyFile("organisation", f"{i}.cedar", text) for i, text in enumerate(texts)])

    assert digest(ALL) == digest(ALL)
    assert len({digest(ALL), digest(ALL, ""), digest(ALL + " ")}) == 3


def test_a_tool_called_as_a_group_of_tools_is_refused() -> None:
    with pytest.raises(ConfigError, match="the group of all such tools"):
        PolicySchema(["desk"], [ToolForm("write", "write", LOOK)])
