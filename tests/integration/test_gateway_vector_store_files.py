"""Files of vector stores over HTTP: one by one and in batches, their attributes, their text."""

import asyncio

import pytest

from services.gateway.wire.vector_store_objects import FileContentPage
from shared.files.parsed import ParsedFile, ParsedFiles
from shared.runs.model import Json
from shared.stores.database import connect
from tests.integration.retrieval_stand_in import Librarian
from tests.integration.running_gateway import Api
from tests.integration.test_gateway_file_names import file
from tests.integration.test_gateway_vector_stores import counts, ids, new_store


@pytest.fixture
def librarian(mongo_url: str, database: str) -> Librarian:
    return Librarian(mongo_url, database)


def test_a_file_is_added_with_what_is_said_of_it(v2: Api) -> None:
    one, two = file(v2), file(v2)
    path = f"/vector_stores/{new_store(v2)}/files"
    sizes = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}
    attributes = {"year": 2023, "price": 1.5, "public": True, "by": "Jane", "a.b": "$x"}
    made = v2.post(
        path,
        {
            "file_id": one,
            "chunking_strategy": {"type": "static", "static": sizes},
            "attributes": attributes,
        },
    )
    assert made["chunking_strategy"] == {"type": "static", "static": sizes}
    assert made["attributes"] == attributes
    assert v2.get(f"{path}/{one}") == made
    plain = v2.post(path, {"file_id": two, "chunking_strategy": {"type": "auto"}, "attributes": None})
    assert plain["attributes"] == {}
    assert plain["chunking_strategy"]["static"] == {
        "max_chunk_size_tokens": 800,
        "chunk_overlap_tokens": 400,
    }


@pytest.mark.parametrize(
    ("attributes", "param", "code"),
    [
        ({f"k{n}": 1 for n in range(17)}, "attributes", "object_above_max_properties"),
        ({"k" * 65: 1}, "attributes." + "k" * 65, "string_above_max_length"),
        ({"k": "x" * 513}, "attributes.k", "string_above_max_length"),
        ({"k": None}, "attributes.k", "invalid_type"),
        ({"k": ["x"]}, "attributes.k", "invalid_type"),
        ([], "attributes", "invalid_type"),
    ],
)
def test_attributes_have_limits(v2: Api, attributes: object, param: str, code: str) -> None:
    one = file(v2)
    path = f"/vector_stores/{new_store(v2, one)}"
    for place, body in (
        (f"{path}/files", {"file_id": one, "attributes": attributes}),
        (f"{path}/files/{one}", {"attributes": attributes}),
        (f"{path}/file_batches", {"file_ids": [one], "attributes": attributes}),
    ):
        error = v2.refused("POST", place, body)
        if param != "attributes." + "k" * 65:
            assert error["param"] == param
        assert error["code"] == code
    batch = {"files": [{"file_id": one, "attributes": attributes}]}
    assert v2.refused("POST", f"{path}/file_batches", batch)["code"] == code


def test_attributes_are_set_anew(v2: Api) -> None:
    one = file(v2)
    path = f"/vector_stores/{new_store(v2, one)}/files/{one}"
    assert v2.post(path, {"attributes": {"a": 1, "b": "x"}})["attributes"] == {"a": 1, "b": "x"}
    assert v2.post(path, {"attributes": {"a": 2}})["attributes"] == {"a": 2}
    assert v2.get(path)["attributes"] == {"a": 2}
    assert v2.post(path, {"attributes": None})["attributes"] == {}
    assert v2.refused("POST", path, {})["code"] == "missing_required_parameter"


def test_a_file_that_is_added_twice_is_there_once(v2: Api, librarian: Librarian) -> None:
    one = file(v2)
    made = new_store(v2)
    path = f"/vector_stores/{made}/files"
    first = v2.post(path, {"file_id": one, "attributes": {"a": 1}})
    assert v2.post(path, {"file_id": one, "attributes": {"a": 2}}) == first
    librarian.take_in(made, one)
    assert v2.post(path, {"file_id": one})["status"] == "completed"
    librarian.refuse(made, one)
    again = v2.post(path, {"file_id": one})
    assert (again["status"], again["last_error"]) == ("in_progress", None), "it may work this time"
    assert ids(v2.get(path)) == [one]


def test_a_removed_file_stays_a_file_and_can_be_added_anew(v2: Api) -> None:
    one, two = file(v2), file(v2)
    path = f"/vector_stores/{new_store(v2, one, two)}/files"
    gone = {"id": one, "object": "vector_store.file.deleted", "deleted": True}
    assert v2.delete(f"{path}/{one}") == gone
    v2.refused("DELETE", f"{path}/{one}", status=404)
    v2.refused("GET", f"{path}/{one}", status=404)
    assert ids(v2.get(path)) == [two]
    assert ids(v2.get(path, order="asc", after=one)) == [two]
    assert v2.get(f"/files/{one}")["id"] == one
    v2.post(path, {"file_id": one})
    assert ids(v2.get(path)) == [one, two]


def test_a_deleted_file_leaves_every_store(v2: Api) -> None:
    one, two = file(v2), file(v2)
    stores = [new_store(v2, one, two) for _ in range(3)]
    v2.delete(f"/files/{one}")
    for each in stores:
        assert ids(v2.get(f"/vector_stores/{each}/files")) == [two]
        assert v2.get(f"/vector_stores/{each}")["file_counts"] == counts(in_progress=1)


def test_lists_have_pages_and_a_filter(v2: Api, librarian: Librarian) -> None:
    files = [file(v2) for _ in range(6)]
    made = new_store(v2, *files)
    librarian.take_in(made, *files[:3])
    librarian.refuse(made, files[3])
    path = f"/vector_stores/{made}/files"
    assert ids(v2.get(path)) == files[::-1], "in the order in which they were named, the last one first"
    page = v2.get(path, limit=2, order="asc")
    assert (ids(page), page["has_more"]) == (files[:2], True)
    assert (page["first_id"], page["last_id"]) == (files[0], files[1])
    assert ids(v2.get(path, order="asc", after=files[1], limit=3)) == files[2:5]
    assert ids(v2.get(path, before=files[2])) == files[5:2:-1]
    assert ids(v2.get(path, filter="completed")) == files[2::-1]
    assert ids(v2.get(path, filter="completed", after=files[2], limit=1)) == [files[1]]
    assert ids(v2.get(path, filter="failed")) == [files[3]]
    assert ids(v2.get(path, filter="cancelled")) == []
    assert ids(v2.get(path, filter="in_progress", order="asc")) == files[4:]
    assert v2.refused("GET", f"{path}?filter=done")["code"] == "invalid_value"
    assert ids(v2.get(path, after="file-x")) == []


def test_a_batch_counts_its_own_files(v2: Api, librarian: Librarian) -> None:
    before, *files = [file(v2) for _ in range(5)]
    made = new_store(v2, before)
    path = f"/vector_stores/{made}/file_batches"
    attributes = {"a": 1}
    sizes = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 0}
    chunking = {"type": "static", "static": sizes}
    batch = v2.post(
        path, {"file_ids": [*files, files[0]], "attributes": attributes, "chunking_strategy": chunking}
    )
    assert (batch["status"], batch["file_counts"]) == ("in_progress", counts(in_progress=4))
    path = f"{path}/{batch['id']}"
    assert ids(v2.get(f"{path}/files")) == files[::-1]
    for each in v2.get(f"{path}/files")["data"]:
        assert (each["attributes"], each["chunking_strategy"]) == (attributes, chunking)
    librarian.take_in(made, *files[:2])
    librarian.refuse(made, files[2])
    assert v2.get(path)["file_counts"] == counts(in_progress=1, completed=2, failed=1)
    assert ids(v2.get(f"{path}/files", filter="completed", order="asc")) == files[:2]
    assert ids(v2.get(f"{path}/files", limit=1, after=files[2])) == [files[1]]
    librarian.take_in(made, files[3])
    done = v2.get(path)
    assert (done["status"], done["file_counts"]) == ("completed", counts(completed=3, failed=1))
    assert v2.get(f"/vector_stores/{made}")["file_counts"] == counts(in_progress=1, completed=3, failed=1)


def test_the_files_of_a_batch_may_differ(v2: Api, librarian: Librarian) -> None:
    one, two = file(v2), file(v2)
    made = new_store(v2)
    path = f"/vector_stores/{made}/file_batches"
    chunking = {
        "type": "static",
        "static": {"max_chunk_size_tokens": 4096, "chunk_overlap_tokens": 2048},
    }
    files = [{"file_id": one, "attributes": {"n": 1}}, {"file_id": two, "chunking_strategy": chunking}]
    batch = v2.post(path, {"files": files, "attributes": {"ignored": True}})
    first, second = v2.get(f"{path}/{batch['id']}/files", order="asc")["data"]
    assert (first["attributes"], second["attributes"]) == ({"n": 1}, {})
    assert second["chunking_strategy"] == chunking
    librarian.refuse(made, one, two)
    assert v2.get(f"{path}/{batch['id']}")["status"] == "failed"

    for body, param, code in (
        ({}, "file_ids", "missing_required_parameter"),
        ({"file_ids": []}, "file_ids", "empty_array"),
        ({"files": []}, "files", "empty_array"),
        ({"file_ids": [one], "files": files}, "files", "mutually_exclusive_parameters"),
        ({"file_ids": ["x"] * 2001}, "file_ids", "array_above_max_length"),
        ({"files": [{"file_id": one, "x": 1}]}, "files[0].x", "unknown_parameter"),
    ):
        error = v2.refused("POST", path, body)
        assert (error["param"], error["code"]) == (param, code)


def test_a_cancelled_batch_leaves_what_is_done(v2: Api, librarian: Librarian) -> None:
    files = [file(v2) for _ in range(3)]
    made = new_store(v2)
    path = f"/vector_stores/{made}/file_batches"
    batch = v2.post(path, {"file_ids": files})["id"]
    librarian.take_in(made, files[0])
    cancelled = v2.post(f"{path}/{batch}/cancel")
    assert cancelled["status"] == "cancelled"
    assert cancelled["file_counts"] == counts(completed=1, cancelled=2)
    assert v2.get(f"{path}/{batch}") == cancelled
    assert v2.get(f"/vector_stores/{made}/files/{files[1]}")["status"] == "cancelled"
    assert v2.get(f"/vector_stores/{made}")["status"] == "completed"

    again = v2.post(path, {"file_ids": files})
    assert again["file_counts"] == counts(completed=1, in_progress=2), "what was cancelled is tried anew"
    librarian.take_in(made, *files)
    assert v2.post(f"{path}/{again['id']}/cancel")["status"] == "completed", "nothing was left to cancel"


def test_a_batch_takes_two_thousand_files_at_once(v2: Api) -> None:
    """Here: as many as the store is quick with."""
    files = [file(v2) for _ in range(40)]
    made = new_store(v2)
    batch = v2.post(f"/vector_stores/{made}/file_batches", {"file_ids": files})
    assert batch["file_counts"]["total"] == 40
    assert ids(v2.get(f"/vector_stores/{made}/files", order="asc", limit=100)) == files


def test_the_text_of_a_file_can_be_read(v2: Api, librarian: Librarian, mongo_url: str, database: str) -> None:
    one, two = file(v2), file(v2)
    made = new_store(v2, one, two)
    text = "Grüße 🎈 " * 30_000
    asyncio.run(keep_text(mongo_url, database, one, text))
    path = f"/vector_stores/{made}/files"
    empty: Json = {
        "object": "vector_store.file_content.page",
        "data": [],
        "has_more": False,
        "next_page": None,
    }
    assert v2.get(f"{path}/{one}/content") == empty, "it is not taken in yet"
    librarian.take_in(made, one)
    librarian.refuse(made, two)
    page = v2.get(f"{path}/{one}/content")
    FileContentPage.model_validate(page)
    assert page == empty | {"data": [{"type": "text", "text": text}]}
    assert v2.get(f"{path}/{two}/content") == empty


async def keep_text(mongo_url: str, database: str, file_id: str, text: str) -> None:
    db = connect(mongo_url, database)
    await ParsedFiles(db).put(ParsedFile(file_id, "default", len(text), 1), text)
    db.client.close()
