"""What every engine of the index can do: one suite, on each (S3: moto's server; Milvus: Milvus Lite's)."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from pydantic import HttpUrl, SecretStr

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors
from services.tool_retrieval.index.choose import index_for
from services.tool_retrieval.index.index import Hit, Index, IndexAway, Table
from services.tool_retrieval.settings import Settings
from tests.processes import beside_python, free_port, listening

pytestmark = pytest.mark.timeout(600)

READY_S = 120.0  # it imports much
DIM = 8
FOX, DOG, SEA = "the quick brown fox", "a lazy dog sleeps", "waves of the blue sea"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    with listening([beside_python("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, log):
        endpoint = f"http://127.0.0.1:{port}"
        assert httpx.put(f"{endpoint}/index", timeout=60).status_code == 200
        yield Settings(
            index_url="s3://index/here",
            s3_endpoint=HttpUrl(endpoint),
            s3_access_key=SecretStr("key"),
            s3_secret_key=SecretStr("secret"),
        )


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    if importlib.util.find_spec("pymilvus") is None or importlib.util.find_spec("milvus_lite") is None:
        pytest.skip("pymilvus and milvus-lite are not installed")
    port, folder = free_port(), tmp_path_factory.mktemp("milvus")
    command = [beside_python("milvus-lite"), "server", "--data-dir", str(folder / "data")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with listening(command, port, folder / "log", within_s=READY_S):
        yield Settings(
            index="milvus", milvus_url=HttpUrl(f"http://127.0.0.1:{port}"), milvus_analyzer="standard"
        )


@pytest.fixture(params=["folder", "s3", "milvus"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings(index_url=str(tmp_path))
    found: Settings = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def index(settings: Settings) -> AsyncIterator[Index]:
    index = index_for(settings)
    yield index
    await index.close()


@pytest.fixture
def table() -> Table:
    return Table(f"vs_{uuid4().hex[:12]}", "some-model", DIM)


def window(start: int, heading: str = "") -> Window:
    return Window(start, start + 9, ((0, 400), (200, 600)), heading)


def vector(place: int) -> Vectors:
    one = np.zeros(DIM, np.float32)
    one[place] = 1.0
    return one


async def put(index: Index, table: Table, file_id: str, *texts: str, gen: int = 1) -> None:
    """Each text's vector points the way of its first letter."""
    windows = [window(number * 10) for number in range(len(texts))]
    vectors = np.stack([vector(ord(text[0]) % DIM) for text in texts])
    await index.put(table, file_id, gen, windows, texts, vectors if table.dim else None)


async def find(
    index: Index, table: Table, query: str, place: int | None = None, limit: int = 10
) -> list[Hit]:
    return await index.search(table, query, None if place is None else vector(place), limit=limit)


async def test_windows_are_found_by_words_and_by_vectors_each_once(index: Index, table: Table) -> None:
    await put(index, table, "file-1", FOX, DOG)
    await put(index, table, "file-2", SEA)
    by_words = await find(index, table, "fox")
    assert [(hit.file_id, hit.window.start, hit.cosine) for hit in by_words] == [("file-1", 0, None)]
    assert by_words[0].bm25 > 0
    both = await find(index, table, "fox", ord("w") % DIM)
    assert len({(hit.file_id, hit.window.start) for hit in both}) == len(both) == 3
    (sea,) = [hit for hit in both if hit.file_id == "file-2"]
    assert (sea.bm25, round(sea.cosine or 0, 5)) == (0.0, 1.0)
    (fox,) = [hit for hit in both if hit.bm25 > 0]
    assert (fox.file_id, fox.window.start, round(fox.cosine or 0, 5)) == ("file-1", 0, 0.0)
    assert len(await find(index, table, "", 0, limit=2)) == 2


async def test_a_window_comes_back_as_it_was(index: Index, table: Table) -> None:
    whole = Window(7, 12, ((0, 800),), 'Ἀρχή > "quoted" \\ heading')
    await index.put(
        table, "file-1", 3, [whole, window(20)], ["ancient greek", "more"], np.stack([vector(0)] * 2)
    )
    (hit,) = await find(index, table, "greek", 0, limit=1) or []
    assert (hit.gen, hit.window) == (3, whole)


async def test_only_the_files_that_are_named_are_found(index: Index, table: Table) -> None:
    for number in range(4):
        await put(index, table, f"file-{number}", FOX)
    found = await index.search(table, "fox", vector(0), limit=10, file_ids=["file-1", "file-3", "no\"'file"])
    assert {hit.file_id for hit in found} == {"file-1", "file-3"}
    assert await index.search(table, "fox", vector(0), limit=10, file_ids=[]) == []


async def test_generations_are_told_apart_and_removed(index: Index, table: Table) -> None:
    for gen in (1, 2, 3):
        await put(index, table, "file-1", FOX, gen=gen)
    await put(index, table, "file-2", FOX)
    assert await index.generations(table) == {("file-1", 1), ("file-1", 2), ("file-1", 3), ("file-2", 1)}
    for _ in range(2):
        await index.delete(table, "file-1", below=2)
        assert await index.generations(table) == {("file-1", 2), ("file-1", 3), ("file-2", 1)}
    for _ in range(2):
        await index.delete_exactly(table, "file-1", 3)
    assert await index.generations(table) == {("file-1", 2), ("file-2", 1)}
    assert sorted((hit.file_id, hit.gen) for hit in await find(index, table, "fox", 0)) == [
        ("file-1", 2),
        ("file-2", 1),
    ]


async def test_no_table_finds_what_is_in_another(index: Index, table: Table) -> None:
    other = Table(f"{table.store_id}x", table.embedder, DIM)
    await put(index, table, "file-1", FOX)
    await put(index, other, "file-2", FOX)
    assert [hit.file_id for hit in await find(index, table, "fox", 0)] == ["file-1"]
    await index.drop(table)
    assert await index.generations(table) == set()
    assert await index.generations(other) == {("file-2", 1)}
    await put(index, table, "file-3", FOX)
    assert [hit.file_id for hit in await find(index, table, "fox", 0)] == ["file-3"]


async def test_a_table_that_is_not_there_is_empty(index: Index, table: Table) -> None:
    assert await find(index, table, "fox", 0) == []
    assert await index.generations(table) == set()
    await index.delete(table, "file-1", below=9)
    await index.delete_exactly(table, "file-1", 1)
    await index.maintain(table)
    await index.drop(table)


async def test_a_store_without_an_embedder_is_searched_by_words(index: Index) -> None:
    table = Table(f"vs_{uuid4().hex[:12]}", "none", 0)
    await put(index, table, "file-1", FOX, DOG)
    assert [(hit.window.start, hit.cosine) for hit in await find(index, table, "dog")] == [(10, None)]
    assert [hit.cosine for hit in await find(index, table, "dog", 0)] == [None]


async def test_what_one_worker_put_another_finds(index: Index, table: Table, settings: Settings) -> None:
    other = index_for(settings)
    try:
        await asyncio.gather(
            *(put((index, other)[number % 2], table, f"file-{number}", FOX, DOG) for number in range(6))
        )
        await index.maintain(table)
        for each in (index, other):
            assert await each.generations(table) == {(f"file-{number}", 1) for number in range(6)}
            assert len(await find(each, table, "fox", 0, limit=50)) == 12
        await other.delete(table, "file-0", below=2)
        assert "file-0" not in {hit.file_id for hit in await find(index, table, "fox", 0, limit=50)}
    finally:
        await other.close()


async def test_a_large_file_is_all_there(index: Index, table: Table) -> None:
    texts = [f"window number{number} of many" for number in range(1203)]
    await put(index, table, "file-1", *texts)
    await index.maintain(table)
    for number in (0, 600, 1202):
        (best, *_) = await find(index, table, f"number{number}")
        assert best.window.start == number * 10


async def test_a_milvus_that_is_away_says_so(table: Table) -> None:
    if importlib.util.find_spec("pymilvus") is None:
        pytest.skip("pymilvus is not installed")
    index = index_for(Settings(index="milvus", milvus_url=HttpUrl(f"http://127.0.0.1:{free_port()}")))
    with pytest.raises(IndexAway):
        await put(index, table, "file-1", FOX)
    await index.close()
