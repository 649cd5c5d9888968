from __future__ import annotations

import pytest

from perdure.access import Caller, Role
from perdure.access.callers import roles_of
from perdure.core.errors import ConfigError, Forbidden
from perdure.core.principal import Principal


def caller(*roles: Role) -> Caller:
    ann = Principal(subject="user:ann", issuer="corp")
    return Caller(principal=ann, tenant="acme", roles=frozenset(roles), via="session")


@pytest.mark.parametrize("role", list(Role))
def test_whoever_has_no_role_may_nothing(role: Role) -> None:
    nobody = caller()
    assert not nobody.may(role)
    assert not nobody.sees_payloads
    with pytest.raises(Forbidden, match=f"`user:ann` is no role, and this takes the role `{role}`"):
        nobody.require(role)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_that_role_and_looking(role: Role) -> None:
    someone = caller(role)
    assert {other for other in Role if someone.may(other)} == (
        set(Role) if role is Role.ADMIN else {role, Role.VIEWER}
    )


def test_payloads_are_seen_by_those_who_need_them() -> None:
    assert {role for role in Role if caller(role).sees_payloads} == {
        Role.OPERATOR,
        Role.APPROVER,
        Role.AUDITOR,
        Role.ADMIN,
    }


def test_roles_are_read_as_people_write_them() -> None:
    assert roles_of(["viewer", "Policy editor", "policy-editor"], where="x") == {
        Role.VIEWER,
        Role.POLICY_EDITOR,
    }
    with pytest.raises(ConfigError, match="`--role`: `root` is no role; roles are viewer, operator"):
        roles_of(["root"], where="`--role`")
