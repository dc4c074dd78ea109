"""Vector stores over HTTP, on a real store: made, listed, counted, changed, expired, deleted."""

import json
from uuid import uuid4

import httpx
import pytest

from services.gateway.wire.vector_store_objects import (
    FileBatchObject,
    VectorStoreFileObject,
    VectorStoreObject,
)
from shared.runs.model import Json
from tests.integration.recorded import FILE_BATCH, VECTOR_STORE, VECTOR_STORE_FILE, check_shape
from tests.integration.retrieval_stand_in import Librarian
from tests.integration.running_gateway import KEY, V1, V2, Api, api, running_gateway
from tests.integration.test_gateway_file_names import file

DAY_S = 86_400
WEEKLY = {"anchor": "last_active_at", "days": 7}
NONE = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}


@pytest.fixture
def librarian(mongo_url: str, database: str) -> Librarian:
    return Librarian(mongo_url, database)


def new_store(to: Api, *file_ids: str, **fields: object) -> str:
    return str(to.post("/vector_stores", {"file_ids": list(file_ids), **fields})["id"])


def counts(**some: int) -> Json:
    return NONE | some | {"total": sum(some.values())}


def ids(page: Json) -> list[str]:
    return [each["id"] for each in page["data"]]


def test_answers_have_the_recorded_shapes(v2: Api, librarian: Librarian) -> None:
    made = v2.post("/vector_stores", {})
    check_shape(made, VECTOR_STORE)
    assert list(made) == list(json.loads(VECTOR_STORE))
    VectorStoreObject.model_validate(made)
    assert made == v2.get(f"/vector_stores/{made['id']}")
    assert (made["file_counts"], made["status"], made["name"]) == (NONE, "completed", None)
    assert made["id"].startswith("vs_")

    one, two = file(v2), file(v2)
    added = v2.post(f"/vector_stores/{made['id']}/files", {"file_id": one})
    assert (added["id"], added["status"], added["usage_bytes"]) == (one, "in_progress", 0)
    librarian.take_in(made["id"], one)
    found = v2.get(f"/vector_stores/{made['id']}/files/{one}")
    check_shape(found, VECTOR_STORE_FILE)
    assert list(found) == list(json.loads(VECTOR_STORE_FILE))
    VectorStoreFileObject.model_validate(found)

    batch = v2.post(f"/vector_stores/{made['id']}/file_batches", {"file_ids": [two]})
    check_shape(batch, FILE_BATCH)
    assert list(batch) == list(json.loads(FILE_BATCH))
    FileBatchObject.model_validate(batch)
    assert batch["file_counts"] == counts(in_progress=1)


def test_no_version_need_be_said_but_the_first_one_does_not_have_them(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    for more in ({}, V2, {"OpenAI-Beta": "responses=v1"}):
        made = httpx.post(f"{url}/v1/vector_stores", headers={**headers, **more})
        assert made.status_code == 200, made.text
    for more, said in ((V1, "version 1"), ({"OpenAI-Beta": "assistants=v3"}, "no version 'v3'")):
        refused = httpx.get(f"{url}/v1/vector_stores", headers={**headers, **more}, timeout=60)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "invalid_beta"
        assert said in refused.json()["error"]["message"]


def test_what_is_given_is_kept_and_can_be_changed(v2: Api) -> None:
    given = {"name": "Manuals", "description": "of 2023", "metadata": {"a": "1"}, "expires_after": WEEKLY}
    made = v2.post("/vector_stores", given)
    assert {name: made[name] for name in given} == given
    assert made["expires_at"] == made["last_active_at"] + 7 * DAY_S
    path = f"/vector_stores/{made['id']}"
    changed = v2.post(path, {"name": None, "metadata": {"b": "2"}})
    assert (changed["name"], changed["metadata"]) == (None, {"a": "1", "b": "2"})
    assert changed["expires_after"] == WEEKLY
    changed = v2.post(path, {"name": "x", "expires_after": None, "metadata": None})
    assert (changed["name"], changed["expires_after"], changed["expires_at"]) == ("x", None, None)
    assert changed["metadata"] == {"a": "1", "b": "2"}
    assert v2.post(path, {}) == changed == v2.get(path)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"nome": "x"}, "nome", "unknown_parameter"),
        ({"name": 1}, "name", "invalid_type"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor", "invalid_value"),
        (
            {"expires_after": {"anchor": "last_active_at", "days": 0}},
            "expires_after.days",
            "integer_below_min_value",
        ),
        (
            {"expires_after": {"anchor": "last_active_at", "days": 366}},
            "expires_after.days",
            "integer_above_max_value",
        ),
        ({"expires_after": {"days": 1}}, "expires_after.anchor", "missing_required_parameter"),
        ({"file_ids": "file-x"}, "file_ids", "invalid_type"),
        ({"file_ids": ["file-x"] * 501}, "file_ids", "array_above_max_length"),
        ({"chunking_strategy": {"type": "none"}}, "chunking_strategy.type", "invalid_value"),
        (
            {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99}}},
            "chunking_strategy.static.max_chunk_size_tokens",
            "integer_below_min_value",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 401},
                }
            },
            "chunking_strategy.static.chunk_overlap_tokens",
            "integer_above_max_value",
        ),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ],
)
def test_a_store_that_says_what_it_may_not_is_refused(v2: Api, body: Json, param: str, code: str) -> None:
    error = v2.refused("POST", "/vector_stores", body)
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"


def test_what_is_not_there_is_not_found(v2: Api) -> None:
    made = new_store(v2)
    gone = "vector store with id 'vs_x' not found."
    refused: list[tuple[str, str, Json | None, str]] = [
        ("GET", "/vector_stores/vs_x", None, gone),
        ("POST", "/vector_stores/vs_x", {}, gone),
        ("DELETE", "/vector_stores/vs_x", None, gone),
        ("POST", "/vector_stores/vs_x/search", {"query": "x"}, gone),
        ("GET", "/vector_stores/vs_x/files", None, gone),
        ("POST", "/vector_stores/vs_x/files", {"file_id": "file-x"}, gone),
        ("GET", "/vector_stores/vs_x/files/file-x", None, gone),
        ("POST", "/vector_stores/vs_x/file_batches", {"file_ids": ["file-x"]}, gone),
    ]
    for method, path, body, message in refused:
        assert v2.refused(method, path, body, status=404)["message"] == message
    no_file = f"No file found with id 'file-x' in vector store '{made}'."
    path = f"/vector_stores/{made}/files/file-x"
    for method, place in (("GET", path), ("DELETE", path), ("POST", path), ("GET", f"{path}/content")):
        body = {"attributes": {}} if method == "POST" else None
        assert v2.refused(method, place, body, status=404)["message"] == no_file
    path = f"/vector_stores/{made}/file_batches/vsfb_x"
    for method, place in (("GET", path), ("GET", f"{path}/files"), ("POST", f"{path}/cancel")):
        error = v2.refused(method, place, status=404)
        assert error["message"] == f"No file batch found with id 'vsfb_x' in vector store '{made}'."
    for path in ("files", "file_batches"):
        named: Json = {"file_id": "file-x"} if path == "files" else {"file_ids": ["file-x", "file-y"]}
        error = v2.refused("POST", f"/vector_stores/{made}/{path}", named)
        assert error["message"].startswith("The following file ids were not found: file-x")
    assert v2.refused("POST", "/vector_stores", {"file_ids": ["file-x"]})["message"] == (
        "The following file ids were not found: file-x"
    )


def test_the_list_has_pages(kafka_bootstrap: str, mongo_url: str) -> None:
    name = f"gateway_{uuid4().hex[:12]}"
    with running_gateway(kafka_bootstrap, mongo_url, name) as url:
        v2 = api(url, V2)
        made = [new_store(v2) for _ in range(5)]
        assert ids(v2.get("/vector_stores")) == made[::-1]
        page = v2.get("/vector_stores", limit=2)
        assert (ids(page), page["has_more"]) == (made[:2:-1], True)
        assert (page["first_id"], page["last_id"]) == (made[4], made[3])
        assert ids(v2.get("/vector_stores", after=made[1])) == made[:1]
        assert ids(v2.get("/vector_stores", before=made[3], limit=1)) == [made[4]]
        assert ids(v2.get("/vector_stores", order="asc", after=made[2])) == made[3:]
        v2.delete(f"/vector_stores/{made[2]}")
        assert ids(v2.get("/vector_stores", after=made[2])) == [made[1], made[0]]
        assert ids(v2.get("/vector_stores", after="vs_never")) == []
        assert v2.refused("GET", "/vector_stores?limit=101")["code"] == "integer_above_max_value"
        v2.client.close()


def test_the_counts_follow_the_files(v2: Api, librarian: Librarian) -> None:
    files = [file(v2) for _ in range(4)]
    made = new_store(v2, *files)
    path = f"/vector_stores/{made}"
    assert v2.get(path)["file_counts"] == counts(in_progress=4)
    assert v2.get(path)["status"] == "in_progress"
    librarian.take_in(made, files[0], files[1], usage_bytes=21)
    librarian.refuse(made, files[2])
    found = v2.get(path)
    assert found["file_counts"] == counts(in_progress=1, completed=2, failed=1)
    assert (found["status"], found["usage_bytes"]) == ("in_progress", 42)
    v2.delete(f"{path}/files/{files[3]}")
    found = v2.get(path)
    assert (found["status"], found["file_counts"]) == ("completed", counts(completed=2, failed=1))
    failed = v2.get(f"{path}/files/{files[2]}")
    assert failed["last_error"] == {
        "code": "unsupported_file",
        "message": "The file type is not supported.",
    }
    [listed] = [each for each in v2.get("/vector_stores", limit=100)["data"] if each["id"] == made]
    assert listed == found


def test_a_store_that_was_not_used_for_long_has_expired(v2: Api, librarian: Librarian) -> None:
    one, two = file(v2), file(v2)
    made = new_store(v2, one, expires_after={"anchor": "last_active_at", "days": 1})
    librarian.take_in(made, one)
    librarian.age(made, days=2)
    path = f"/vector_stores/{made}"
    found = v2.get(path)
    assert found["status"] == "expired"
    assert found["expires_at"] == found["last_active_at"] + DAY_S
    assert ids(v2.get(f"{path}/files")) == [one], "so that it can be made anew"
    expired = f"Vector store '{made}' is expired."
    for place, body in (
        (f"{path}/files", {"file_id": two}),
        (f"{path}/file_batches", {"file_ids": [two]}),
        (f"{path}/search", {"query": "x"}),
        (path, {"expires_after": WEEKLY}),
    ):
        error = v2.refused("POST", place, body)
        assert (error["message"], error["code"]) == (expired, "vector_store_expired")
    assert v2.post(path, {"name": "old"})["status"] == "expired"
    assert v2.delete(path)["deleted"] is True


def test_a_deleted_store_is_named_nowhere_and_its_files_stay_files(v2: Api) -> None:
    one = file(v2)
    made = new_store(v2, one)
    batch = v2.post(f"/vector_stores/{made}/file_batches", {"file_ids": [one]})["id"]
    search = {"file_search": {"vector_store_ids": [made]}}
    assistant = v2.post("/assistants", {"model": "m", "tool_resources": search})["id"]
    thread = v2.post("/threads", {"tool_resources": search})["id"]
    gone = {"id": made, "object": "vector_store.deleted", "deleted": True}
    assert v2.delete(f"/vector_stores/{made}") == gone
    for method, path in (
        ("DELETE", ""),
        ("GET", ""),
        ("GET", "/files"),
        ("GET", f"/files/{one}"),
        ("GET", f"/file_batches/{batch}"),
    ):
        v2.refused(method, f"/vector_stores/{made}{path}", status=404)
    nothing: Json = {"file_search": {"vector_store_ids": []}}
    assert v2.get(f"/assistants/{assistant}")["tool_resources"] == nothing
    assert v2.get(f"/threads/{thread}")["tool_resources"] == nothing
    assert v2.get(f"/files/{one}")["id"] == one


def test_a_store_has_room_for_ten_thousand_files(v2: Api, librarian: Librarian) -> None:
    one, two = file(v2), file(v2)
    made = new_store(v2, one)
    librarian.fill(made, 10_000)
    v2.post(f"/vector_stores/{made}/files", {"file_id": two})
    assert v2.get(f"/vector_stores/{made}")["file_counts"]["total"] == 2, "they were counted anew"
