"""A worker of its own process that wants a user's credential: `python -m tests.vault.holder STORE ISSUER`.

Prints the token. The master key and the client's secret are in its environment.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from perdure.app import open_store
from perdure.core.provider_settings import ProviderSettings
from perdure.identity import MasterKeys, Wanted
from perdure.vault import Vault


async def main(url: str, issuer: str, subject: str, lease: str) -> None:
    store = open_store(url)
    await store.open()
    provider = ProviderSettings(issuer=issuer, client_id="perdure", client_secret="env:HUB_SECRET")
    vault = Vault(store, {"hub": provider}, lambda: MasterKeys.open(Path("none")), lease=float(lease))
    wanted = Wanted(tenant="acme", subject=subject, provider="hub", agent="desk", run="r1", step="call")
    print((await vault.credential(wanted)).reveal(), flush=True)
    await vault.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
