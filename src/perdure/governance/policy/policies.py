"""Policies as they stand in a folder: read, checked to the letter against the schema, and compiled.

    policies/*.cedar                  the organisation's: something has to permit a call here
    policies/team/*.cedar             } each further layer can only narrow: a call passes where every layer lets it
    policies/agent/NAME/*.cedar       }

A layer that permits nothing in so many words takes what is above it and forbids some of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from .reach import asks_how_sure, looks_at_the_call, names_action, reaches
from .schema import ANSWER, PolicySchema
from .statements import Statement, statements

__all__ = ["ABOVE", "Bench", "Layer", "Policies", "Policy", "PolicyFile"]

_TEAM = "team"
_AGENT = "agent"
_PERMIT_ALL = '@id("{id}")\npermit (principal, action, resource);'
ABOVE = "what the layer above permits"
"""The policy that a layer has, in effect, which permits nothing in so many words."""
_QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A file of policies, read."""

    layer: str
    """`organisation`, `team`, or `agent NAME`"""
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, and what its annotations say."""

    id: str
    effect: str
    """`permit` or `forbid`"""
    statement: Statement
    gated: bool
    """`@gate("human")`: where it forbids, a human may let the call pass"""
    evidence: bool
    """`@gate("evidence")`: where it forbids, the agent is told to find out more first"""
    role: str | None
    quorum: int
    reason: str
    """a sentence for the human and for the model"""
    violation: bool
    """`@violation("")`: who tries what it forbids loses trust; see `trust`"""
    template: Any = field(repr=False, compare=False)
    """as Cedar's parser has it"""


@dataclass(frozen=True, slots=True)
class Layer:
    """The policies of one layer that can have a say, compiled. `policies` are ours, by Cedar's ids."""

    name: str
    compiled: Any
    policies: Mapping[str, Policy]


@dataclass(frozen=True, slots=True)
class Bench:
    """Who judges the calls of a tool by an agent: the layers, from the top."""

    layers: Sequence[Layer]
    constant: bool
    """the same for every call"""


class Policies:
    """All policies of an app."""

    def __init__(self, files: Iterable[PolicyFile], schema: PolicySchema, *, where: str) -> None:
        """Read and check. Raises `ConfigError`, which says where, what, and what to do."""
        cedar = _cedar()
        self.schema = schema
        self.where = where
        try:
            self.compiled_schema = cedar.Schema.from_json_str(schema.text())
            self.entities = cedar.Entities.from_json_str(schema.entities(), self.compiled_schema)
        except ValueError as error:
            raise ConfigError(f"no schema can be made of the app's agents and tools: {error}") from error
        by_layer: dict[str, list[PolicyFile]] = {}
        for file in files:
            by_layer.setdefault(file.layer, []).append(file)
        seen: dict[str, Statement] = {}
        self._layers = {
            name: self._read(name, found, seen) for name, found in sorted(by_layer.items(), key=_rank)
        }
        top = self._layers.get("organisation")
        if not any(policy.effect == "permit" for policy in top or ()):
            raise ConfigError(
                f"no policy in `{where}` permits anything, so no call could ever be made. Write one that does, or take "
                "the folder away for the starter set"
            )
        self._benches: dict[tuple[str, str], Bench] = {}
        self._asking: dict[tuple[str, str, str], bool] = {}
        self.constants: dict[tuple[str, str], Any] = {}
        """verdicts that are the same for every call, by agent and tool"""
        self.capabilities: dict[str, Any] = {}
        """what was found of each agent; see `capabilities`"""

    def all(self) -> Mapping[str, Sequence[Policy]]:
        """Every policy, by its layer."""
        return self._layers

    def bench(self, agent: str, tool: str) -> Bench:
        """Who judges the calls of a tool that the schema knows. Compiled once."""
        found = self._benches.get((agent, tool))
        if found is None:
            effect = self.schema.tools[tool].effect
            concerned = {
                name: [
                    p
                    for p in self._layers[name]
                    if reaches(p.template, agent=agent, tool=tool, effect=effect)
                ]
                for name in self._layers_of(agent)
            }
            constant = not any(looks_at_the_call(p.template) for ps in concerned.values() for p in ps)
            layers = [_compiled(name, policies) for name, policies in concerned.items()]
            found = self._benches[agent, tool] = Bench(layers, constant)
        return found

    def asks_how_sure(self, agent: str, tool: str, effect: str) -> bool:
        """Whether a model has to state how sure it is of such a call; the schema need not know the tool."""
        place = agent, tool, effect
        found = self._asking.get(place)
        if found is None:
            found = self._asking[place] = any(
                asks_how_sure(policy.template)
                and reaches(policy.template, agent=agent, tool=tool, effect=effect)
                for name in self._layers_of(agent)
                for policy in self._layers[name]
            )
        return found

    def judges_answers(self, agent: str) -> bool:
        """Whether a policy names the final answer of that agent's runs."""
        return self.names(agent, ANSWER)

    def names(self, agent: str, action: str) -> bool:
        """Whether a policy about that agent names an action of the runtime's own, which else is not judged."""
        return any(
            names_action(policy.template, action)
            and reaches(policy.template, agent=agent, tool=action, effect="read")
            for name in self._layers_of(agent)
            for policy in self._layers[name]
        )

    def _layers_of(self, agent: str) -> list[str]:
        return [name for name in ("organisation", _TEAM, f"{_AGENT} {agent}") if name in self._layers]

    def _read(self, name: str, files: Sequence[PolicyFile], seen: dict[str, Statement]) -> Sequence[Policy]:
        cedar = _cedar()
        found = [s for file in files for s in statements(file.text, file.name)]
        policies: list[Policy] = []
        for statement in found:
            policy = _policy(cedar, statement)
            if policy.id in seen:
                raise ConfigError(
                    f"{statement.place()}: `{policy.id}` is also the id of the policy at {seen[policy.id].place()}; "
                    "each needs its own"
                )
            seen[policy.id] = statement
            policies.append(policy)
        told = cedar.validate_policies("\n".join(s.text for s in found), self.compiled_schema)
        for error in told.errors:
            statement = found[int(str(error.policy_id).removeprefix("policy") or 0)]
            raise ConfigError(f"{_place(statement, str(error.error))}: {_plain(str(error.error))}")
        if name != "organisation" and not any(p.effect == "permit" for p in policies):
            policies.append(_policy(cedar, Statement(_PERMIT_ALL.format(id=ABOVE), name, 1, 1)))
        return policies


def _compiled(name: str, policies: Sequence[Policy]) -> Layer:
    text = "\n".join(policy.statement.text for policy in policies)
    by_id = {f"policy{i}": policy for i, policy in enumerate(policies)}
    return Layer(name, _cedar().PolicySet.from_str(text), by_id)


def read_folder(folder: Path) -> list[PolicyFile]:
    """The files of a folder of policies. Raises `ConfigError`."""
    found: list[PolicyFile] = []
    for path in sorted(folder.rglob("*.cedar")):
        parts = path.relative_to(folder).parts[:-1]
        match parts:
            case ():
                layer = "organisation"
            case ("team",):
                layer = _TEAM
            case ("agent", name):
                layer = f"{_AGENT} {name}"
            case _:
                raise ConfigError(
                    f"`{path}` is in no layer: policies stand in `{folder}`, in `{folder / _TEAM}`, and in "
                    f"`{folder / _AGENT / 'NAME'}`"
                )
        try:
            found.append(PolicyFile(layer, str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"`{path}` cannot be read: {error}") from error
    return found


def _rank(item: tuple[str, Any]) -> tuple[int, str]:
    name = item[0]
    return (("organisation", _TEAM).index(name) if name in ("organisation", _TEAM) else 2, name)


def _policy(cedar: Any, statement: Statement) -> Policy:
    try:
        told = cedar.PolicySet.from_str(statement.text).to_pst()
    except ValueError as error:
        raise ConfigError(f"{_place(statement, str(error))}: {error}") from error
    if told.templates or len(told.static_policies) != 1:
        raise ConfigError(f"{statement.place()}: templates are not used here; write the policy out")
    (template,) = told.static_policies.values()
    notes: Mapping[str, str] = template.annotations
    unknown = notes.keys() - {"id", "gate", "role", "quorum", "reason", "violation"}
    if unknown:
        raise ConfigError(
            f"{statement.place(f'@{min(unknown)}')}: `@{min(unknown)}` says nothing here; known are @id, @gate, @role, "
            "@quorum, @reason and @violation"
        )
    if not notes.get("id"):
        raise ConfigError(f'{statement.place()}: the policy has no `@id("...")`: verdicts name it by that')
    gate = notes.get("gate")
    if gate is not None and (gate not in ("human", "evidence") or template.effect != "forbid"):
        raise ConfigError(
            f'{statement.place("@gate")}: only `@gate("human")` and `@gate("evidence")` of a `forbid` mean something'
        )
    quorum = notes.get("quorum", "1")
    if not quorum.isdecimal() or int(quorum) < 1:
        raise ConfigError(f"{statement.place('@quorum')}: `{quorum}` is no number of people from 1")
    if gate != "human" and ("role" in notes or "quorum" in notes):
        raise ConfigError(f'{statement.place()}: `@role` and `@quorum` go with `@gate("human")`')
    if gate == "human" and "role" not in notes:
        raise ConfigError(f'{statement.place("@gate")}: who may let the call pass? Say `@role("...")`')
    if "violation" in notes and (gate is not None or template.effect != "forbid"):
        raise ConfigError(f"{statement.place('@violation')}: only a `forbid` without a gate can be violated")
    return Policy(
        id=notes["id"],
        effect=template.effect,
        statement=statement,
        gated=gate == "human",
        evidence=gate == "evidence",
        role=notes.get("role"),
        quorum=int(quorum),
        reason=notes.get("reason", ""),
        violation="violation" in notes,
        template=template,
    )


def _place(statement: Statement, error: str) -> str:
    """Where in a statement something is wrong, as far as the error names it."""
    for quoted in _QUOTED.findall(error):
        for word in (quoted, quoted.rpartition(".")[2]):
            if word and word in statement.text:
                return statement.place(word)
    return statement.place()


def _plain(error: str) -> str:
    return re.sub(r"^for policy `policy\d+`, ", "", error)


def _cedar() -> Any:
    try:
        import cedarpy
    except ModuleNotFoundError:
        raise ConfigError('policies need cedarpy: `pip install "perdure[policy]"`') from None
    return cedarpy
