"""``python -m tests.unit.metered_parser FILE...``: reads files one by one; says how much memory it took.

In a process of its own, so that nothing else counts. Prints JSON: what became of each file, and the most that
this process and any of its parsers ever held, in MB.
"""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.process import Parser


async def pieces(source: Path) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


async def outcome(source: Path) -> str:
    try:
        found = await Parser(at_once=1).parse(source.name, pieces(source))
    except ParseError as error:
        return error.code
    return f"{len(found.pages or ())} pages"


async def outcomes(sources: list[Path]) -> list[str]:
    return [await outcome(source) for source in sources]


def main() -> None:
    found = asyncio.run(outcomes([Path(name) for name in sys.argv[1:]]))
    status = Path("/proc/self/status").read_text().splitlines()
    # Not by getrusage: its own peak counts what the parent held when it made this process.
    service = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    parsers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peaks = {"service": service >> 10, "parsers": parsers >> 10}
    json.dump({"outcomes": found, "peaks": peaks}, sys.stdout)


if __name__ == "__main__":
    main()
