"""The tables `[mcp.NAME]` of `perdure.toml`: servers whose tools agents may use.

[mcp.files]
command = "mcp-server-files"
args = ["--root", "/srv/files"]
env = { TOKEN = "env:FILES_TOKEN" }    # where the secret is, never the secret itself

[mcp.crm]
url = "https://crm.example/mcp"
headers = { Authorization = "env:CRM_AUTHORIZATION" }
trusted = true                         # its annotations say what its tools do

[mcp.tickets]
url = "https://tickets.example/mcp"
auth = "user"                          # each call with the token of the user for whom the run acts
provider = "tickets"                   # with whom they connect their account: [providers.tickets]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from .provider_settings import Address, ProviderName
from .table import read_table

__all__ = ["McpName", "McpSettings", "McpToolSettings", "read_servers"]

McpName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""What a server is called: no `_` and no `.`, which part it from the names of its tools."""


def _variable(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind != "env" or not name:
        # never the value: somebody may have written the secret itself
        raise ValueError(
            "must say where the value is, and not be the value: `env:NAME`, an environment variable"
        )
    return value


Variable: TypeAlias = Annotated[str, AfterValidator(_variable)]
"""`env:NAME`"""


Root: TypeAlias = Annotated[str, StringConstraints(pattern=r"^file:///\S*$")]
"""A folder."""


class McpToolSettings(BaseModel):
    """What a person knows better of one tool than its server says: the tables `[mcp.NAME.tools.TOOL]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Literal["read", "idempotent", "write"] | None = None
    """what it does to the world, whoever is trusted; None: as the server's annotations are believed"""
    timeout: timedelta | None = Field(default=None, gt=timedelta(), le=timedelta(days=1))
    attempts: int | None = Field(default=None, ge=1, le=100)
    """how often a call is tried that may be repeated; None: as the app's terms say"""
    labels: tuple[str, ...] = ()
    """of its answers, beside `trusted` or `untrusted`"""


class McpSettings(BaseModel):
    """One server: a program of this machine (`command`), or an address (`url`)."""

    # Whoever misspells a setting may have written a secret beside it: no message shows what was given.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, Variable] = {}
    """what the program has beside the few harmless variables that it inherits"""
    url: Address | None = None
    """of a server that speaks streamable HTTP"""
    headers: dict[str, Variable] = {}
    auth: Literal["user"] | None = None
    """`user`: each call goes with the token of the user for whom the run acts, from the vault, and with no other; None:
    with `headers` alone"""
    provider: ProviderName | None = None
    """with whom users connect the account that is used, in `[providers.NAME]`; None: with what guards the server, as it
    says itself; that provider is called as the server is"""
    scopes: tuple[str, ...] = ()
    """what its calls need at least, in the provider's words; what a call needs beyond that, the server says"""
    trusted: bool = False
    """whether its annotations say what its tools do, and what it answers counts as written by somebody who is vouched
    for. Else each tool is a `write`, and each answer is untrusted"""
    only: tuple[str, ...] = ()
    """the tools and prompts (`prompt:NAME`) that are taken, by name or pattern (`get_*`); empty: all"""
    without: tuple[str, ...] = ()
    """those that are left out"""
    tools: dict[str, McpToolSettings] = {}
    """what is known of single ones, by the server's own names"""
    timeout: timedelta = Field(default=timedelta(seconds=60), gt=timedelta(), le=timedelta(hours=1))
    """of a call"""
    start_timeout: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(), le=timedelta(minutes=10))
    """of its start, and of its list of tools"""
    answer_within: timedelta | None = Field(default=None, gt=timedelta())
    """how long a person has who is asked by it; None: as long as it takes"""
    task_within: timedelta = Field(default=timedelta(days=1), gt=timedelta(), le=timedelta(days=365))
    """how long a task of it may take that a call has become"""
    sampling: str | None = Field(default=None, pattern=r"^[^\s:]+:\S+$")
    """the model that is asked where it wants to have one asked, as `provider:model`; None: it is told no"""
    roots: tuple[Root, ...] = ()
    """folders of which it is told that it may use them, as `file:///srv/files`"""
    most_message: int = Field(default=10_000_000, ge=10_000, le=1_000_000_000)
    """bytes of one message of it; what is longer is not read, and ends the connection"""
    most_output: int = Field(default=100_000, ge=100, le=10_000_000)
    """characters of an answer that are kept; the rest is cut off, and the answer says so"""

    @model_validator(mode="after")
    def _one_way_to_it(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("say either `command`, for a program that is started, or `url`, for a server")
        if self.command is None and (self.args or self.env):
            raise ValueError("`args` and `env` are for a `command`; a `url` has `headers`")
        if self.url is None and self.headers:
            raise ValueError("`headers` are for a `url`; a `command` has `env`")
        if self.auth is None and (self.provider is not None or self.scopes):
            raise ValueError('`provider` and `scopes` are for `auth = "user"`')
        if self.auth is not None and self.url is None:
            raise ValueError(
                '`auth = "user"` is for a `url`: a program of this machine is handed no user\'s token'
            )
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                '`headers.Authorization` and `auth = "user"` both say whose token goes along: leave one out'
            )
        return self


class _Servers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mcp: dict[McpName, McpSettings]


def read_servers(
    values: Mapping[str, McpSettings | Mapping[str, Any]], *, where: str
) -> Mapping[str, McpSettings]:
    """From the tables `[mcp.NAME]`, by name. Raises `ConfigError` that names the setting."""
    return read_table(_Servers, {"mcp": dict(values)}, where=where).mcp
