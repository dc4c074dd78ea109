"""The names that files have in the sandbox."""

import pytest

from shared.files.for_code import LARGEST_BYTES, code_files, safe_name
from shared.stores.database import Document


def stored(filename: str, size: int = 1) -> Document:
    return {"filename": filename, "bytes": size}


def test_each_file_has_its_own_name_in_the_order_asked_for() -> None:
    found = {"file-b": stored("b.csv"), "file-a": stored("a.csv")}
    files = code_files(["file-a", "file-gone", "file-b", "file-a"], found)
    assert [(file.id, file.name) for file in files] == [("file-a", "a.csv"), ("file-b", "b.csv")]


def test_files_of_one_name_are_told_apart() -> None:
    found = {"file-a": stored("x/data.csv"), "file-b": stored("data.csv"), "file-c": stored("file-a")}
    files = code_files(["file-a", "file-b", "file-c"], found)
    assert [file.name for file in files] == ["data.csv", "data-b.csv", "file-a-c"]


def test_a_large_file_stays_outside() -> None:
    found = {"file-a": stored("a", LARGEST_BYTES), "file-b": stored("b", LARGEST_BYTES + 1)}
    assert [file.too_large for file in code_files(list(found), found)] == [False, True]


@pytest.mark.parametrize(
    ("said", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\x.csv", "x.csv"),
        ("a\x00b\n.csv", "a_b_.csv"),
        ("..", "file"),
        ("", "file"),
        ("a/", "file"),
        (".bashrc", "bashrc"),
        ("データ.csv", "データ.csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("x." + "y" * 300, "x." + "y" * 198),
    ],
)
def test_a_name_leads_nowhere_else(said: str, safe: str) -> None:
    assert safe_name(said) == safe
    assert len(safe_name(said).encode()) <= 200
