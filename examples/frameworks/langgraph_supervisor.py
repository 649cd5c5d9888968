"""A supervisor in LangGraph: it plans a report, researches its topics at once, has it approved, and publishes it.

`Send` begins a branch for each topic; each branch is a graph of its own; the writer is LangChain's `create_agent`,
which looks up two things at once. Of Perdure there are the agent at the end, and what the tools do to the world.
"""

from __future__ import annotations

import operator
import os
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from perdure import App, Run

PUBLISHED: list[str] = []
"""stands for the world"""


class Report(TypedDict, total=False):
    subject: str
    topics: list[str]
    findings: Annotated[list[str], operator.add]
    text: str
    published: bool


class Topic(TypedDict):
    topic: str


@tool
async def figures(topic: str) -> str:
    """The figures on a topic."""
    return f"{topic}: 42"


@tool
def quotes(topic: str) -> str:
    """What people say about a topic."""
    return f"{topic}: 'well'"


@tool
async def publish(text: str) -> str:
    """Publish the report."""
    PUBLISHED.append(text)
    return "published"


def supervisor() -> Any:
    """The graph, as it would be without Perdure."""
    model = ChatOpenAI(model="gpt-5", max_retries=0)
    writer = create_agent(model, [figures, quotes], system_prompt="You write reports.", name="writer")

    async def think(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    research = StateGraph(MessagesState)
    research.add_node("think", think)
    research.add_edge(START, "think")
    researcher = research.compile()

    async def plan(state: Report) -> Any:
        said = await model.ainvoke(f"Name the topics of a report on {state['subject']}.")
        return {"topics": [topic.strip() for topic in str(said.content).split(",")]}

    async def look(state: Topic) -> Any:
        said = await researcher.ainvoke({"messages": [("user", f"Research {state['topic']}.")]})
        return {"findings": [str(said["messages"][-1].content)]}

    async def write(state: Report) -> Any:
        said = await writer.ainvoke({"messages": [("user", "Write it up: " + "; ".join(state["findings"]))]})
        return {"text": str(said["messages"][-1].content)}

    async def release(state: Report) -> Any:
        if not interrupt({"question": "May this be published?", "text": state["text"]}):
            return {"published": False}
        await publish.ainvoke({"text": state["text"]})
        return {"published": True}

    graph = StateGraph(Report)
    graph.add_node("plan", plan)
    graph.add_node("look", look)
    graph.add_node("write", write)
    graph.add_node("release", release)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda s: [Send("look", {"topic": t}) for t in s["topics"]], ["look"])
    graph.add_edge("look", "write")
    graph.add_edge("write", "release")
    graph.add_edge("release", END)
    return graph.compile(name="supervisor")


app = App(os.environ.get("PERDURE_STORE", "memory://"))
app.effects.declare("read", "figures", "quotes")
app.effects.declare("write", "publish")


@app.agent("report")
async def report(run: Run, subject: str) -> dict[str, Any]:
    state = await run.wrap(supervisor())({"subject": subject})
    return {"text": state["text"], "published": state["published"]}
