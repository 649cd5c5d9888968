"""What agents know from elsewhere: tools of MCP servers, pinned as somebody has reviewed them."""

from .answer import McpResult, Open
from .answering import UnknownTask
from .definition import Definition
from .pool import McpServers
from .reading import McpContent, McpPrompt, McpResource, McpSaid
from .reviews import Review, Reviews
from .servers import McpServer
from .standing import Standing, Standings

__all__ = [
    "Definition",
    "McpContent",
    "McpPrompt",
    "McpResource",
    "McpResult",
    "McpSaid",
    "McpServer",
    "McpServers",
    "Open",
    "Review",
    "Reviews",
    "Standing",
    "Standings",
    "UnknownTask",
]
