"""Files, an MCP server over stdio: `python files.py FOLDER`. Its tool is called as that of npm's server of files is."""

from __future__ import annotations

import sys
from pathlib import Path

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

FOLDER = Path(sys.argv[1]).resolve()
server = MCPServer("files", log_level="ERROR")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read_text_file(path: str) -> str:
    """Read a file."""
    file = (FOLDER / path).resolve()
    if not file.is_relative_to(FOLDER) or not file.is_file():
        raise ToolError(f"there is no file {path}")
    return file.read_text()


if __name__ == "__main__":
    server.run("stdio")
