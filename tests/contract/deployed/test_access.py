"""The roles for MongoDB: each service reaches the collections that its code opens, and no other."""

import re
from pathlib import Path
from typing import cast

import pytest

from deploy.operate import doctor
from deploy.operate.access import MONGO, ONLY_READ, mongo_roles
from shared.files.gridfs import BUCKET
from shared.stores.database import Database, OperationFailure
from tests.contract.test_layering import FILES, imports, name_of

MODULES = {name_of(path): path for path in FILES}
OPENED = re.compile(r"""\b\w*db\[f?["']([^"']+)["']\]""")


def modules_of(service: str) -> list[Path]:
    """Every module of ours that the service's process imports."""
    reached = [f"services.{service.replace('-', '_')}.__main__"]
    for name in reached:  # grows
        reached += {each for each in imports(MODULES[name]) if each in MODULES}.difference(reached)
    return [MODULES[name] for name in reached]


def opened_by(path: Path) -> set[str]:
    return {name.replace("{BUCKET}", BUCKET) for name in OPENED.findall(path.read_text())}


@pytest.mark.parametrize("service", MONGO)
def test_a_role_is_what_the_code_opens(service: str) -> None:
    assert set(MONGO[service]) == set().union(*map(opened_by, modules_of(service)))


def test_no_collection_is_opened_in_a_way_that_this_test_does_not_see() -> None:
    ways = re.compile(r"\bdb\[(?!f?[\"'])|\.get_collection\(|\bdb\.get_")
    inside = [path for name, path in MODULES.items() if name.startswith(("shared.", "services."))]
    assert [str(path) for path in inside if ways.search(path.read_text())] == []


def test_a_role_names_no_whole_database() -> None:
    for role in mongo_roles("threadmill"):
        for privilege in role["privileges"]:
            assert privilege["resource"]["db"] == "threadmill"
            assert privilege["resource"]["collection"]


def test_what_a_service_only_reads_is_written_by_others_alone() -> None:
    may: dict[str, dict[str, set[str]]] = {}
    for role in mongo_roles("threadmill"):
        granted = {each["resource"]["collection"]: set(each["actions"]) for each in role["privileges"]}
        may[role["createRole"].removeprefix("threadmill-")] = granted
    reading = [(service, name) for service, names in ONLY_READ.items() for name in names]
    assert reading
    for service, name in reading:
        assert may[service][name] == {"find"}
        assert any("insert" in granted.get(name, ()) for granted in may.values()), f"nobody writes {name}"
    for service, granted in may.items():
        others = granted.keys() - set(ONLY_READ.get(service, ()))
        assert all(granted[name] >= {"find", "insert", "update", "remove"} for name in others)


async def test_the_doctor_says_what_a_user_does_not_reach() -> None:
    """A tool worker's user may not list the indexes of the runs; that is nothing bad."""

    class Refusing:
        def __init__(self, code: int) -> None:
            self.code = code

        def __getitem__(self, name: str) -> "Refusing":
            return self

        async def index_information(self) -> None:
            raise OperationFailure("not authorized", self.code)

    finding = await doctor._indexes(cast(Database, Refusing(doctor.NOT_ALLOWED)))
    assert finding.ok is None
    assert "does not reach the runs" in finding.said
    with pytest.raises(OperationFailure):
        await doctor._indexes(cast(Database, Refusing(59)))
