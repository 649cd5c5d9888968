"""MCP out: runs, questions and agents of an app for any MCP client (`perdure mcp serve`, and `/mcp` of the server).

Needs the extra `mcp`, and over HTTP `serve` too. The SDK takes a third of a second to import, so this face is of what
does without it: `.server` has the server itself, `.stdio` its standard streams.
"""

from .http import McpDoor, can_serve

__all__ = ["McpDoor", "can_serve"]
