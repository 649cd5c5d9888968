"""What customers have sent, as an MCP server over stdio: `python files.py FOLDER`. Anybody may have written it."""

from __future__ import annotations

from pathlib import Path

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("files", log_level="ERROR")


@server.tool()
def read_attachment(name: str) -> str:
    """Read a file that a customer has sent."""
    file = Path(__file__).parent / "attachments" / Path(name).name
    if not file.is_file():
        raise ToolError(f"there is no attachment `{name}`")
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    server.run("stdio")
