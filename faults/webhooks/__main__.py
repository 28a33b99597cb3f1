"""`python -m faults.webhooks` (make webhooks): hunt once, print what came of it and the seed."""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence

from faults.webhooks.hunt import hunt
from faults.webhooks.sender import FAULT_POINTS


def main(argv: Sequence[str]) -> int:
    """Hunt once; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults.webhooks", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args(argv)
    print(f"SEED={options.seed}", flush=True)
    started = time.monotonic()
    result = hunt(options.events, options.seed)
    print(f"{result.events} events, {result.calls} calls in {time.monotonic() - started:.0f} s")
    print(f"{result.refused} refused by the receiver, {result.doubles} taken twice (by one id)")
    print(f"senders killed: {sum(result.kills.values())} at {len(result.kills)} points of "
          f"{len(FAULT_POINTS)}; the store {result.store_kills} times")  # fmt: skip
    for fault in result.faults[:20]:
        print(f"BROKEN: {fault}")
    print(f"{len(result.faults)} faults")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
