"""What the three storages of bytes have in common: one suite, each on the real thing (S3: moto's server)."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiobotocore.session import get_session
from pydantic import HttpUrl, SecretStr, ValidationError

from shared.errors import Unavailable
from shared.files.choose import storage_for
from shared.files.disk import DiskStorage
from shared.files.gridfs import BUCKET, CHUNK_BYTES
from shared.files.s3 import PART_BYTES, S3Storage
from shared.files.settings import FileSettings
from shared.files.storage import BytesMissing, Storage, in_blocks
from shared.stores.database import Database
from tests.processes import beside_python, free_port, listening

BUCKET_NAME = "files"
SECRET = SecretStr("testing")


@dataclass
class Place:
    storage: Storage
    leftovers: Callable[[], Awaitable[int]]  # how many things it holds of any kind


@pytest.fixture(scope="module")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    with listening([beside_python("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, log):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["gridfs", "disk", "s3"])
async def place(
    request: pytest.FixtureRequest, db: Database, tmp_path: Path, s3_endpoint: str
) -> AsyncIterator[Place]:
    opened = {"gridfs": _gridfs(db), "disk": _disk(tmp_path), "s3": _s3(s3_endpoint)}
    async with opened[request.param] as found:
        yield found


@asynccontextmanager
async def _gridfs(db: Database) -> AsyncIterator[Place]:
    async def leftovers() -> int:
        return sum([await db[f"{BUCKET}.{part}"].count_documents({}) for part in ("files", "chunks")])

    async with storage_for(FileSettings(), db) as storage:
        yield Place(storage, leftovers)


@asynccontextmanager
async def _disk(folder: Path) -> AsyncIterator[Place]:
    async def leftovers() -> int:
        return len([name for _, _, names in os.walk(folder) for name in names])

    async with DiskStorage(folder / "files") as storage:
        yield Place(storage, leftovers)


@asynccontextmanager
async def _s3(endpoint: str) -> AsyncIterator[Place]:
    bucket = f"{BUCKET_NAME}-{uuid4().hex[:8]}"
    settings = s3_settings(endpoint, bucket)
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    connect = get_session().create_client("s3", region_name="us-east-1", endpoint_url=endpoint, **keys)
    async with connect as client, S3Storage(settings) as storage:
        await client.create_bucket(Bucket=bucket)

        async def leftovers() -> int:
            objects = await client.list_objects_v2(Bucket=bucket)
            uploads = await client.list_multipart_uploads(Bucket=bucket)
            return len(objects.get("Contents", ())) + len(uploads.get("Uploads", ()))

        yield Place(storage, leftovers)


def s3_settings(endpoint: str, bucket: str) -> FileSettings:
    return FileSettings(
        file_storage="s3",
        s3_bucket=bucket,
        s3_prefix="threadmill/",
        s3_endpoint=HttpUrl(endpoint),
        s3_access_key=SECRET,
        s3_secret_key=SECRET,
    )


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(storage: Storage, key: str) -> bytes:
    return b"".join([piece async for piece in storage.read(key)])


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, PART_BYTES, 2 * PART_BYTES + 5]
)
async def test_what_is_put_is_read(place: Place, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert await place.storage.put("file-a", pieces(content[:7], b"", content[7:])) == size
    assert await read(place.storage, "file-a") == content


async def test_keys_do_not_meet(place: Place) -> None:
    for key in ("file-a", "file-ab", "file-A"):
        await place.storage.put(key, pieces(key.encode()))
    await place.storage.delete("file-a")
    assert await read(place.storage, "file-ab") == b"file-ab"
    assert await read(place.storage, "file-A") == b"file-A"


async def test_what_is_not_there_is_missing_before_the_first_piece(place: Place) -> None:
    with pytest.raises(BytesMissing):
        await anext(place.storage.read("file-never"))


async def test_deleting_leaves_nothing_and_may_be_repeated(place: Place) -> None:
    await place.storage.put("file-a", pieces(b"x" * (PART_BYTES + 1)))
    assert await place.leftovers() > 0
    for _ in range(2):
        await place.storage.delete("file-a")
        assert await place.leftovers() == 0
    with pytest.raises(BytesMissing):
        await anext(place.storage.read("file-a"))


@pytest.mark.parametrize("size", [10, 2 * PART_BYTES])
async def test_half_a_file_cannot_be_read_and_can_be_deleted(place: Place, size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError("the client left")

    with pytest.raises((ConnectionResetError, Unavailable)):
        await place.storage.put("file-a", broken())
    with pytest.raises(BytesMissing):
        await anext(place.storage.read("file-a"))
    await place.storage.delete("file-a")
    assert await place.leftovers() == 0


async def test_a_reader_may_stop_halfway(place: Place) -> None:
    await place.storage.put("file-a", pieces(b"x" * (3 * CHUNK_BYTES)))
    async with aclosing(place.storage.read("file-a")) as content:
        assert await anext(content)
    await place.storage.delete("file-a")


async def test_a_lost_chunk_is_noticed(db: Database) -> None:
    async with storage_for(FileSettings(), db) as storage:
        await storage.put("file-a", pieces(b"x" * (2 * CHUNK_BYTES)))
        await db[f"{BUCKET}.chunks"].delete_one({"files_id": "file-a", "n": 1})
        with pytest.raises(BytesMissing, match="chunk 1"):
            await read(storage, "file-a")


async def test_a_storage_that_is_away_is_unavailable(tmp_path: Path) -> None:
    async with S3Storage(s3_settings(f"http://127.0.0.1:{free_port()}", "files")) as storage:
        with pytest.raises(Unavailable):
            await storage.put("file-a", pieces(b"x"))
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable):
        await DiskStorage(tmp_path / "file").put("file-a", pieces(b"x"))


async def test_a_key_never_leaves_the_folder(tmp_path: Path) -> None:
    for key in ("../file-a", "a/b", "", ".."):
        with pytest.raises(ValueError, match="not a key"):
            await DiskStorage(tmp_path).put(key, pieces(b"x"))


async def test_blocks_hold_the_same_bytes() -> None:
    blocks = [block async for block in in_blocks(pieces(b"ab", b"", b"cdefg", b"h"), 3)]
    assert blocks == [b"abc", b"def", b"gh"]


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_settings_say_where(kind: str) -> None:
    with pytest.raises(ValidationError, match="must be set"):
        FileSettings.model_validate({"file_storage": kind})
