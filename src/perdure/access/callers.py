"""Who asks, and what they may do: the port on which the API and the pages stand.

    request ─► Gate ─► Caller(principal, tenant, roles, via) ─► caller.require(Role.OPERATOR) ─► what was asked for
                └► Unauthenticated (401)                         └► Forbidden (403)

A handler never looks at a header or a cookie itself. It asks its gate, works in the caller's tenant and in no other,
and names the role that what it does takes. Nobody has a role that was not given to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..core.errors import Forbidden
from ..core.principal import Principal
from ..core.roles import Role, roles_of

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Caller", "Gate", "Role", "roles_of"]


SEES_PAYLOADS = frozenset({Role.OPERATOR, Role.APPROVER, Role.AUDITOR, Role.ADMIN})
"""Who may see what calls were given and returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who has proved who they are, for one request."""

    principal: Principal
    tenant: str
    """all that they see and do is of this tenant"""
    roles: frozenset[Role]
    via: str
    """how they have proved it: `session:ID`, `key:ID`, `token:ISSUER`"""
    proved_at: int | None = None
    """when they signed in, microseconds; None: with this request"""

    @property
    def subject(self) -> str:
        """The name under which what they do is journaled: `user:ann`."""
        return self.principal.subject

    def may(self, role: Role) -> bool:
        """Whether they have that role. An admin has every one, and whoever has any is a viewer."""
        return bool(self.roles & _ENOUGH[role])

    def require(self, role: Role) -> None:
        """Raise `Forbidden` where they have not that role."""
        if not self.may(role):
            has = ", ".join(sorted(self.roles)) or "no role"
            raise Forbidden(
                f"`{self.subject}` is {has}, and this takes the role `{role}`: ask an admin for it (`[access.roles]` "
                "says who has which)"
            )

    @property
    def sees_payloads(self) -> bool:
        """Whether they may see what calls were given and returned."""
        return bool(self.roles & SEES_PAYLOADS)


_ENOUGH: Mapping[Role, frozenset[Role]] = {
    role: frozenset(Role) if role is Role.VIEWER else frozenset({role, Role.ADMIN}) for role in Role
}


class Gate(Protocol):
    """What knows who asks. `access.gates` has those that there are."""

    async def caller_of(self, request: Request) -> Caller:
        """Who asks with this request.

        Raises `Unauthenticated` where nobody has proved who they are, `TooManyRequests` where they ask too often, and
        `Forbidden` where a page's form comes without its token, or from another site.
        """
        ...
