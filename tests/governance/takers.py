"""One process that lets many runs draw on one shared budget at once. Says how many got something.

python -m tests.governance.takers URL NAME RUNS MONEY
"""

from __future__ import annotations

import asyncio
import sys

from perdure import Budget, open_store
from perdure.core.ids import RunRef
from perdure.governance import Amount
from perdure.governance.accounts import Drawn, Shared
from perdure.governance.ledger import Ledger
from perdure.governance.purse import Purse

BUDGET = Budget(money="1.00")


async def main(url: str, name: str, runs: int, money: int) -> int:
    store = open_store(url)
    await store.open()
    shared = [Shared.at("tenant", BUDGET, store.now())]
    purses = [Purse(store, RunRef("t", f"{name}-{n}"), epoch=1, head=0, ledger=Ledger()) for n in range(runs)]
    print("ready", flush=True)
    sys.stdin.readline()
    drawn = await asyncio.gather(*(purse.draw(shared, Amount(money=money)) for purse in purses))
    await store.close()
    return sum(isinstance(d, Drawn) for d in drawn)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
