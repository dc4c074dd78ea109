"""Under which names the code interpreter has the files of a run: the model is told what the sandbox has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from shared.stores.database import Document

FOLDER = "/mnt/data"
LARGEST_BYTES = 32 << 20
LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class CodeFile:
    """A file at ``/mnt/data/<id>`` and at ``/mnt/data/<name>``, unless it is too large."""

    id: str
    name: str
    bytes: int

    @property
    def too_large(self) -> bool:
        return self.bytes > LARGEST_BYTES


def code_files(file_ids: Sequence[str], found: Mapping[str, Document]) -> list[CodeFile]:
    """Return those of ``file_ids`` that were found, each under a name of its own."""
    return list(_named(file_ids, found))


def _named(file_ids: Sequence[str], found: Mapping[str, Document]) -> Iterator[CodeFile]:
    taken = set(file_ids)
    for file_id in dict.fromkeys(file_ids):
        if (file := found.get(file_id)) is None:
            continue
        name = safe_name(file["filename"])
        if name in taken:
            path = PurePosixPath(name)
            name = f"{path.stem}-{file_id.removeprefix('file-')}{path.suffix}"
        taken.add(name)
        yield CodeFile(file_id, name, file["bytes"])


def safe_name(filename: str) -> str:
    """The last name in ``filename``, as one that every folder takes.

    >>> safe_name("../../etc/pass\\nwd.txt"), safe_name("..")
    ('pass_wd.txt', 'file')
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(each if each.isprintable() else "_" for each in name).strip().lstrip(".")
    path = PurePosixPath(name or "file")
    suffix = path.suffix if len(path.suffix.encode()) <= LONGEST_NAME_BYTES // 4 else ""
    stem = path.name.removesuffix(suffix).encode()[: LONGEST_NAME_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore") + suffix
