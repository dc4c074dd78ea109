"""``make chaos``: work on a stack while it is broken in every way, and see whether all promises hold."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.soak import Soaked, soak

SHOWN_RUNS = 5


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(soaked: Soaked) -> bool:
    """Print what came of it; whether all is well."""
    history = soaked.history
    tell(
        f"seed {history.seed}: {len(history.runs)} runs in {soaked.took_s:.0f} s, "
        f"{soaked.broken} things broken, "
        f"{len(history.ops)} operations, {len(history.feed)} records on the feed, ends {soaked.ends}"
    )
    for failure in soaked.failures:
        tell(f"a client got no answer: {failure}")
    for violation in soaked.violations:
        tell(f"VIOLATION {violation}")
    for run_id in list(dict.fromkeys(each.run_id for each in soaked.violations if each.run_id))[:SHOWN_RUNS]:
        tell(f"--- the history of {run_id}")
        for line in history.about(run_id):
            tell(line)
    return not soaked.violations and not soaked.failures


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of everything that is left to chance")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--runs", type=int, default=0, help="go on until so many have ended")
    parser.add_argument("--walkers", type=int, default=24, help="clients at once")
    parser.add_argument("--folder", type=Path, default=None, help="for logs and the history; kept")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    tell(f"seed {seed}")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="threadmill-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    soaked = asyncio.run(
        soak(
            folder,
            seed=seed,
            for_s=arguments.seconds,
            walkers=arguments.walkers,
            runs=arguments.runs,
            tell=tell,
        )
    )
    well = report(soaked)
    tell(f"logs and history: {folder}")
    sys.exit(not well)


if __name__ == "__main__":
    main()
