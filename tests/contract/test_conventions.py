"""Rules of the house that a reader relies on and a tool can check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for top in ("shared", "services", "deploy") for path in ROOT.glob(f"{top}/**/*.py"))
SILENT = {ROOT / "services/__init__.py", ROOT / "deploy/__init__.py", ROOT / "deploy/local/__init__.py"}
MOST_LINES = 300

# Longer files, and why each is better left whole.
LONG: dict[str, str] = {
    "tests/e2e/test_durability.py": "one story: each process dies in turn, and the same is asked each time",
    "tests/e2e/test_streaming.py": "one story: each kind of stream, event by event",
    "tests/integration/test_sandbox_attacks.py": "a catalogue of attacks, one short test each",
    "tests/integration/test_gateway_error_table.py": "a table of errors, one row each",
    "tests/unit/test_gateway_validation.py": "a table of requests, one line each",
}
ENVIRONMENT = {"environ", "environb", "getenv"}
# Where the environment may be read: settings classes do it by themselves, everyone else is told.
READS_THE_ENVIRONMENT = (
    "deploy/local/",
    "services/tool_code/sandbox/driver/",  # inside the sandbox, which gives itself a clean one
)
# Written so that they do not find themselves.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:hom[e]|User[s]|wor[k]|roo[t])/(?!\.ssh)\w")
REGISTRY = re.compile(
    r"\bpyp[i]\.org|\bpythonhoste[d]\.org|\bnpmj[s]\.(?:org|com)|artifactor[y]|/simpl[e]/|[-]-(?:extra-)?index-url"
)


def tracked() -> list[Path]:
    """The committed files; those beside them are nobody's business but their author's."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_only_settings_read_the_environment() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in CODE
        if not relative(path).startswith(READS_THE_ENVIRONMENT)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT)
        or (isinstance(node, ast.ImportFrom) and ENVIRONMENT & {alias.name for alias in node.names})
    ]
    assert wrong == []


@pytest.mark.parametrize("what", [MACHINE_PATH, REGISTRY], ids=["path of a machine", "package registry"])
def test_nothing_tells_where_it_was_made(what: re.Pattern[str]) -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if what.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["open('/hom" + "e/me/x')", "cd /wor" + "k/main", "see https://pyp" + "i.org/x", "-" + "-index-url x"],
)
def test_the_patterns_find_what_they_are_for(line: str) -> None:
    assert MACHINE_PATH.search(line) or REGISTRY.search(line)


def test_no_file_has_outgrown_a_reader() -> None:
    long = {
        relative(path)
        for path in tracked()
        if path.suffix == ".py" and len(path.read_text().splitlines()) > MOST_LINES
    }
    assert long - LONG.keys() == set(), "split it, or say in LONG why it is better whole"


def test_every_module_says_what_it_is() -> None:
    """And every folder of code is a package that says so in its ``__init__``."""
    inits = {path.parent / "__init__.py" for path in CODE}
    assert [relative(path) for path in sorted(inits) if not path.is_file()] == []
    silent = [
        path for path in CODE if path not in SILENT and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert [relative(path) for path in silent] == []
