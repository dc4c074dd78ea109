"""``python -m deploy.contracts [--break]``: write ``docs/schemas`` and ``docs/asyncapi.json``.

A change that readers or writers of today would not survive is refused without ``--break``:
it belongs into a new version beside the old one.
"""

import argparse
import json
import sys
from pathlib import Path

from deploy.contracts.asyncapi import document
from deploy.contracts.changes import breaking_changes
from deploy.contracts.schemas import schemas
from shared.runs.model import Json

DOCS = Path(__file__).parents[2] / "docs"


def text(made: Json) -> str:
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, Json]:
    """Every document, by the path of its copy in the repository."""
    made = {DOCS / "schemas" / f"{name}.json": schema for name, schema in schemas().items()}
    return made | {DOCS / "asyncapi.json": document()}


def broken_promises() -> list[str]:
    """What differs, in the wrong way, from the schemas in the repository."""
    current = schemas()
    promised = {path.stem: json.loads(path.read_text()) for path in sorted((DOCS / "schemas").glob("*.json"))}
    return [
        f"{name}{problem}"
        for name, old in promised.items()
        for problem in (breaking_changes(old, current[name]) if name in current else [" is gone"])
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.contracts", description=(__doc__ or "").strip())
    parser.add_argument("--break", dest="allowed", action="store_true", help="write breaking changes too")
    if (broken := broken_promises()) and not parser.parse_args().allowed:
        sys.stderr.write("\n".join(["These changes break what was promised:", *broken, ""]))
        return 1
    for path, made in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
