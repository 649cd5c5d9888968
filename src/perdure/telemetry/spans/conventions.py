"""The names that OpenTelemetry's conventions for generative AI give to things. They are in development: two profiles.

    1.41     what viewers read today (the default)
    next     the conventions' own repository since: a run is a workflow, in which agents are invoked

What the conventions do not know (policies, approvals, budgets, cost, doubt) stands under `perdure.`, never under
`gen_ai.`. `openinference.span.kind` is for viewers that read that one. Source: the repository of the semantic
conventions for generative AI, autumn 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import ConfigError
from ...memory import Recalled
from .span import Value

__all__ = ["PROFILES", "Profile", "profile_of", "provider_of"]

_PROVIDERS: Mapping[str, str] = {
    "google": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "openai-responses": "openai",
    "openai-chat": "openai",
}
"""Where the conventions' word for a provider is another than that of a model's name."""


MOST_DOCUMENTS = 50
"""Items of one recall that its span names: the journal has the others."""


def provider_of(model: str) -> str:
    """The provider of `openai:gpt-5-mini`, in the conventions' words."""
    prefix = model.partition(":")[0] if ":" in model else "unknown"
    return _PROVIDERS.get(prefix, prefix)


@dataclass(frozen=True, slots=True)
class Profile:
    """One version of the conventions."""

    name: str
    root: str
    """the operation of a run's first segment"""

    def run(self, agent: str, version: str, *, first: bool) -> tuple[str, dict[str, Value]]:
        """Name and attributes of what one worker did of a run."""
        operation = self.root if first else "invoke_agent"
        told: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.agent.name": agent,
            "gen_ai.agent.version": version,
            "openinference.span.kind": "AGENT",
        }
        if operation == "invoke_workflow":
            told["gen_ai.workflow.name"] = agent
        return f"{operation} {agent}", told

    def model(self, model: str, usage: Mapping[str, int]) -> tuple[str, dict[str, Value]]:
        """Name and attributes of a turn of a model."""
        name = model.partition(":")[2] or model
        told: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider_of(model),
            "gen_ai.request.model": name,
            "openinference.span.kind": "LLM",
            "llm.model_name": name,
        }
        for word, n in usage.items():
            told[f"gen_ai.usage.{word}"] = n
        return f"chat {name}", told

    def embedding(self, model: str, usage: Mapping[str, int]) -> tuple[str, dict[str, Value]]:
        """Name and attributes of texts that a model has turned into vectors."""
        name, told = self.model(model, usage)
        told |= {"gen_ai.operation.name": "embeddings", "openinference.span.kind": "EMBEDDING"}
        told["embedding.model_name"] = told.pop("llm.model_name")
        return name.replace("chat", "embeddings", 1), told

    def tool(self, tool: str, key: str) -> tuple[str, dict[str, Value]]:
        """Name and attributes of the call of a tool."""
        return f"execute_tool {tool}", {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": key,
            "openinference.span.kind": "TOOL",
            "tool.name": tool,
        }

    def step(self, name: str) -> tuple[str, dict[str, Value]]:
        """Name and attributes of a step that is neither: of such the conventions know nothing."""
        return f"step {name}", {"openinference.span.kind": "CHAIN"}

    def recall(self, answer: Recalled[Any]) -> dict[str, Value]:
        """Attributes of a step that has read memory: which items, their scores, what was left out; not what they say.

        Documents as OpenInference has them, so that its viewers show them.
        """
        told: dict[str, Value] = {
            "openinference.span.kind": "RETRIEVER",
            "perdure.memory.items": len(answer.items),
            "perdure.memory.left_out": sum(out.items for out in answer.left_out),
            "perdure.memory.labels": list(answer.labels),
        }
        if answer.left_out:
            told["perdure.memory.left_out_why"] = [out.why for out in answer.left_out]
        for n, item in enumerate(answer.items[:MOST_DOCUMENTS]):
            told[f"retrieval.documents.{n}.document.id"] = item.id
            if item.score is not None:
                told[f"retrieval.documents.{n}.document.score"] = item.score
        return told

    def child(self, agent: str) -> tuple[str, dict[str, Value]]:
        """Name and attributes of the wait for a child."""
        return f"delegate {agent}", {"gen_ai.agent.name": agent, "openinference.span.kind": "CHAIN"}


PROFILES: Mapping[str, Profile] = {
    "1.41": Profile("1.41", "invoke_agent"),
    "next": Profile("next", "invoke_workflow"),
}
"""By name."""


def profile_of(name: Any) -> Profile:
    """Raises `ConfigError`."""
    found = PROFILES.get(str(name))
    if found is None:
        raise ConfigError(
            f"`{name}` is no profile of conventions; there are {', '.join(map('`{}`'.format, PROFILES))}"
        )
    return found
