"""An MCP server in a few lines, which starts quickly: `say(letters)` says so many. It mutters to its standard error."""

import json
import sys

TOOL = {
    "name": "say",
    "inputSchema": {
        "type": "object",
        "properties": {"letters": {"type": "integer"}},
        "required": ["letters"],
    },
    "annotations": {"readOnlyHint": True},
}

print("muttering", file=sys.stderr, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    match asked["method"]:
        case "initialize":
            version = asked["params"]["protocolVersion"]
            told = {"protocolVersion": version, "capabilities": {"tools": {}}}
            answer["result"] = {**told, "serverInfo": {"name": "gusher", "version": "1"}}
        case "tools/list":
            answer["result"] = {"tools": [TOOL]}
        case "tools/call":
            text = "a" * asked["params"]["arguments"]["letters"]
            answer["result"] = {"content": [{"type": "text", "text": text}]}
        case _:
            answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
