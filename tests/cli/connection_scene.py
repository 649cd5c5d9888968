"""An agent that needs its user's account. Loaded by `perdure --app tests/cli/connection_scene.py:app`."""

from perdure import App, Credential, Run

app = App("memory://")  # every test names its own store with `--store`


@app.tool(credential="hub", scopes=["write"], effect="read")
def use(token: Credential) -> str:
    return token.subject


@app.agent("desk")
async def desk(run: Run) -> str:
    return await run.call(use)
