"""Runs as many schedules as asked for: ``python -m tests.simulation --schedules 100000 --seed 1``."""

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.simulation.explore import Finding, explore

SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; the others follow")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most-s", type=float, default=math.inf, help="end after this, with fewer")
    parser.add_argument("--trace", action="store_true", help="print what happened in each schedule")
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.schedules)
    if asked.trace:
        for seed in seeds:
            print(explore(seed, traced=True))  # noqa: T201
        return 0
    began = time.monotonic()
    statuses: Counter[str] = Counter()
    bad: list[Finding] = []
    done = 0
    with multiprocessing.Pool(asked.processes) as pool:
        for finding in pool.imap_unordered(explore, seeds, chunksize=10):
            done += 1
            statuses.update(finding.statuses)
            if finding.violations:
                bad.append(finding)
            if time.monotonic() > began + asked.most_s:
                break
    took_s = time.monotonic() - began
    print(f"{done} schedules from seed {asked.seed} in {took_s:.0f} s: {len(bad)} with violations")  # noqa: T201
    print(f"{statuses.total()} runs: {dict(statuses.most_common())}")  # noqa: T201
    for finding in sorted(bad, key=lambda finding: finding.seed)[:SHOWN]:
        print(explore(finding.seed, traced=True))  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
