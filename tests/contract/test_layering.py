"""Who may import whom. The folder layout is a promise; this keeps it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/__main__.py"))
FILES = sorted(path for top in ("shared", "services", "deploy") for path in ROOT.glob(f"{top}/**/*.py"))
SHARED = sorted(path for path in ROOT.glob("shared/**/*.py") if path.name != "__init__.py")

PURE = {
    "shared/errors.py",
    "shared/events.py",
    "shared/feed.py",
    "shared/runs/changes.py",
    "shared/runs/facts.py",
    "shared/runs/model.py",
    "shared/runs/rules.py",
    "shared/runs/views.py",
    "shared/topics.py",
}
CLOCKS_AND_CHANCE = {"random", "secrets", "time", "uuid"}
IO = {"asyncio", "logging", "os", "pathlib", "socket", "subprocess", "threading"}
IO |= {"aiokafka", "faststream", "httpx", "httpx2", "motor", "openai", "pymongo", "starlette", "uvicorn"}
IMPURE = CLOCKS_AND_CHANCE | IO
THE_DRIVER = "shared/stores/database.py"

# Modules of shared that fewer than two services use, and why they may stay.
ONLY_ONE_USER: dict[str, str] = {}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that ``path`` imports, also by ``from package import module``."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_imports_keep_the_layers() -> None:
    wrong = [
        f"{name_of(path)} imports {name}" for path in FILES for name in imports(path) if not may(path, name)
    ]
    assert wrong == []


def may(path: Path, name: str) -> bool:
    """shared knows no service, services meet on Kafka, deploy knows all, nobody knows the tests."""
    top, *rest = name_of(path).split(".")
    root, *inner = name.split(".")
    if root in ("", "tests"):
        return False
    if top == "shared":
        return root not in ("services", "deploy")
    if top == "services":
        return root != "deploy" and not (root == "services" and inner and inner[:1] != rest[:1])
    return True


def test_the_driver_is_imported_in_one_place() -> None:
    others = [path for path in FILES if path != ROOT / THE_DRIVER]
    driver = {"motor", "pymongo", "bson", "gridfs"}
    wrong = [
        name_of(path)
        for path in others
        if "AsyncIOMotor" in path.read_text() or driver & {name.partition(".")[0] for name in imports(path)}
    ]
    assert wrong == []


@pytest.mark.parametrize("here", sorted(PURE))
def test_what_is_pure_stays_pure(here: str) -> None:
    roots = {name.partition(".")[0] for name in imports(ROOT / here)}
    assert not roots & IMPURE, "no clock, no randomness, no I/O"
    impure = {name for name in imports(ROOT / here) if is_module(name)} - {as_module(pure) for pure in PURE}
    assert impure <= {"shared.ids"}, "derived_id, which is a function of its arguments"


def test_the_list_of_pure_modules_names_every_module_of_a_run() -> None:
    assert {str(path.relative_to(ROOT)) for path in SHARED if path.parent.name == "runs"} <= PURE


def test_every_module_of_shared_is_used_by_two_services() -> None:
    """Directly, or through another module of shared."""
    users = {name_of(path): services_using(name_of(path)) for path in SHARED}
    lonely = {name for name, services in users.items() if len(services) < 2}
    assert lonely - ONLY_ONE_USER.keys() == set(), "a module used by one service belongs into that service"
    assert ONLY_ONE_USER.keys() - lonely == set(), "no longer an exception: take it off the list"


def services_using(module: str) -> set[str]:
    used_by: dict[str, set[str]] = {}
    for path in FILES:
        for name in imports(path):
            used_by.setdefault(name, set()).add(name_of(path))
    services, found, reached = set[str](), {module}, [module]
    for name in reached:  # grows
        for user in used_by.get(name, ()):
            top, *rest = user.split(".")
            if top == "services" and rest:
                services.add(rest[0])
            elif top == "shared" and user not in found:
                found.add(user)
                reached.append(user)
    return services


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return name.startswith("shared.") and path.with_suffix(".py").is_file()


def as_module(path: str) -> str:
    return name_of(ROOT / path)


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_the_same_shape(service: str) -> None:
    folder = ROOT / "services" / service
    assert {"__init__.py", "__main__.py", "settings.py", "app.py"} <= {path.name for path in folder.iterdir()}
    assert (folder / "handlers.py").is_file() or (folder / "routes").is_dir(), "the way in"
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    for heading in ("Consumes ", "Emits ", "Stores ", "Read ``"):
        assert f"\n{heading}" in told, f"{service}/__init__.py does not say what it {heading.strip().lower()}"
