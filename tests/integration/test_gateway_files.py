"""Files over HTTP, on a real store: uploaded, listed, read, deleted."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest

from services.gateway.wire.objects import FileObject
from shared.runs.model import Json
from tests.integration.recorded import check_shape
from tests.integration.running_gateway import KEY, V1, V2, Api, api, running_gateway

# As recorded: v1 in November 2023 (alexrudall/ruby-openai), v2 in 2026 (openai/openai-dotnet); both MIT.
FILE_V1 = """
{"object": "file", "id": "file-x", "purpose": "fine-tune", "filename": "sentiment.jsonl", "bytes": 159,
 "created_at": 1699998524, "status": "uploaded", "status_details": null}
"""
FILE_V2 = """
{"object": "file", "id": "file-x", "purpose": "assistants", "filename": "你好.txt", "bytes": 33,
 "created_at": 1780006032, "expires_at": null, "status": "processed", "status_details": null}
"""
MOST = 3 << 20


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str) -> Iterator[str]:
    name = f"gateway_{uuid4().hex[:12]}"
    with running_gateway(kafka_bootstrap, mongo_url, name, max_file_bytes=MOST) as url:
        yield url


def send(
    to: Api,
    content: bytes = b"hello",
    name: str | None = "a.txt",
    purpose: str | None = "assistants",
    **more: str,
) -> httpx.Response:
    data = ({} if purpose is None else {"purpose": purpose}) | more
    files = None if name is None else {"file": (name, content)}
    return to.client.post("/files", data=data, files=files, headers=to.headers)


def upload(
    to: Api, content: bytes = b"hello", name: str = "a.txt", purpose: str = "assistants", **more: str
) -> Json:
    response = send(to, content, name, purpose, **more)
    assert response.status_code == 200, response.text
    made: Json = response.json()
    return made


def test_an_upload_has_the_recorded_shape_in_both_versions(v1: Api, v2: Api) -> None:
    made = upload(v2, "你好".encode(), "你好.txt")
    check_shape(made, FILE_V2)
    assert list(made) == list(json.loads(FILE_V2))
    FileObject.model_validate(made)
    assert (made["filename"], made["bytes"], made["status"]) == ("你好.txt", 6, "processed")
    assert made["id"].startswith("file-")
    assert 22 <= len(made["id"].removeprefix("file-")) <= 24
    assert v2.get(f"/files/{made['id']}") == made
    check_shape(v1.get(f"/files/{made['id']}"), FILE_V1)
    assert list(upload(v1)) == list(json.loads(FILE_V1))


def test_the_parts_may_come_in_any_order_and_no_version_need_be_said(url: str) -> None:
    body = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n'
        "Content-Length: 3\r\n\r\n1,2\r\n"
        '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b--\r\n'
    )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=b"}
    made = httpx.post(f"{url}/v1/files", content=body, headers=headers)
    assert made.status_code == 200, made.text
    assert (made.json()["filename"], made.json()["bytes"]) == ("x.csv", 3)


def test_a_purpose_that_a_version_does_not_know_is_refused(v1: Api, v2: Api) -> None:
    known = "'fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'"
    message = f"'world_domination' is not one of [{known}] - 'purpose'"
    response = send(v2, purpose="world_domination")
    assert response.status_code == 400
    assert response.json() == {
        "error": {"message": message, "type": "invalid_request_error", "param": "purpose", "code": None},
        "detail": {"message": message, "code": None},
    }
    refused = send(v1, purpose="vision")
    assert (
        refused.json()["error"]["message"] == "'vision' is not one of ['fine-tune', 'assistants'] - 'purpose'"
    )
    for purpose in ("fine-tune", "assistants", "batch", "user_data", "vision", "evals"):
        assert upload(v2, purpose=purpose)["purpose"] == purpose


@pytest.mark.parametrize(
    ("given", "message", "param"),
    [
        ({"name": None}, "Missing required parameter: 'file'.", "file"),
        ({"purpose": None}, "Missing required parameter: 'purpose'.", "purpose"),
        ({"pirpose": "x"}, "Unknown parameter: 'pirpose'.", "pirpose"),
        (
            {"expires_after[anchor]": "created_at"},
            "Missing required parameter: 'expires_after.seconds'.",
            "expires_after.seconds",
        ),
        (
            {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
            "Invalid value: 'now'. Supported values are: 'created_at'.",
            "expires_after.anchor",
        ),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            "Invalid 'expires_after.seconds': integer below minimum value. "
            "Expected a value >= 3600, but got 60 instead.",
            "expires_after.seconds",
        ),
    ],
)
def test_what_is_wrong_with_a_form_is_told(
    v2: Api, given: dict[str, str | None], message: str, param: str
) -> None:
    if given == {"name": None}:
        response = v2.client.post("/files", files={"purpose": (None, "assistants")}, headers=v2.headers)
    else:
        response = send(v2, **given)  # type: ignore[arg-type]
    assert response.status_code == 400, response.text
    assert (response.json()["error"]["message"], response.json()["error"]["param"]) == (message, param)


def test_what_is_no_form_is_refused(v2: Api) -> None:
    for headers, body in (
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data"}, b"x"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"x"),
        ({}, b""),
    ):
        response = v2.client.post("/files", content=body, headers=v2.headers | headers)
        assert response.status_code == 400, response.text
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_file_expires_when_the_upload_says_so(v1: Api, v2: Api) -> None:
    after: dict[str, Any] = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = upload(v2, **after)
    assert made["expires_at"] == made["created_at"] + 3600
    assert send(v1, **after).json()["error"]["message"] == "Unknown parameter: 'expires_after'."


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(v2: Api) -> None:
    assert upload(v2, b"x" * MOST)["bytes"] == MOST
    before = len(v2.get("/files")["data"])
    response = send(v2, b"x" * (MOST + 1))
    assert (response.status_code, response.json()["error"]["param"]) == (413, "file")
    assert response.json()["error"]["message"] == "The file exceeds the maximum size of 3 MB."
    response = send(v2, b"x" * (2 * MOST))  # known from the length of the body alone
    assert response.status_code == 413
    assert len(v2.get("/files")["data"]) == before


def test_files_are_listed_by_version(kafka_bootstrap: str, mongo_url: str) -> None:
    with running_gateway(kafka_bootstrap, mongo_url, f"gateway_{uuid4().hex[:12]}") as url:
        v1, v2 = api(url, V1), api(url, V2)
        made = [
            upload(v2, name=f"{n}.txt", purpose="batch" if n == 2 else "assistants")["id"] for n in range(5)
        ]
        newest_first = made[::-1]
        everything = v1.get("/files", limit=2)
        assert list(everything) == ["object", "has_more", "data"]
        assert [each["id"] for each in everything["data"]] == newest_first
        page = v2.get("/files", limit=2)
        assert [each["id"] for each in page["data"]] == newest_first[:2]
        assert (page["first_id"], page["last_id"], page["has_more"]) == (made[4], made[3], True)
        upwards = v2.get("/files", limit=10_000, order="asc", after=made[1])
        assert [each["id"] for each in upwards["data"]] == made[2:]
        assert [each["id"] for each in v2.get("/files", purpose="batch")["data"]] == [made[2]]
        assert v2.get("/files", purpose="nothing")["data"] == []
        assert v2.refused("GET", "/files?limit=10001")["code"] == "integer_above_max_value"
        v1.client.close()
        v2.client.close()


def test_a_deleted_file_is_gone(v2: Api) -> None:
    made = upload(v2, purpose="vision")
    answer = v2.delete(f"/files/{made['id']}")
    assert answer == {"object": "file", "deleted": True, "id": made["id"]}
    assert list(answer) == ["object", "deleted", "id"]
    assert made["id"] not in [each["id"] for each in v2.get("/files")["data"]]
    message = f"No such File object: {made['id']}"
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        response = v2.client.request(method, f"/files/{made['id']}{path}", headers=v2.headers)
        assert response.status_code == 404
        assert response.json() == {
            "error": {"message": message, "type": "invalid_request_error", "param": "id", "code": None},
            "detail": {"message": message, "code": None},
        }


def test_the_content_comes_back_byte_for_byte(v2: Api) -> None:
    content = bytes(range(256)) * 8000
    made = upload(v2, content, 'räksmörgås "1".bin', purpose="vision")
    response = v2.client.get(f"/files/{made['id']}/content", headers=v2.headers)
    assert response.content == content
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-length"] == str(len(content))
    named = response.headers["content-disposition"]
    assert named.startswith('attachment; filename="r_ksm_rg_s ')
    assert "filename*=UTF-8''r%C3%A4ksm%C3%B6rg%C3%A5s%20" in named
    empty = upload(v2, b"", purpose="batch")
    assert v2.client.get(f"/files/{empty['id']}/content", headers=v2.headers).content == b""


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
def test_what_clients_put_in_for_assistants_stays_in(v2: Api, purpose: str) -> None:
    made = upload(v2, purpose=purpose)
    error = v2.client.get(f"/files/{made['id']}/content", headers=v2.headers)
    assert error.status_code == 400
    assert error.json()["error"]["message"] == f"Not allowed to download files of purpose: {purpose}"


def test_a_setting_lets_everything_be_downloaded(kafka_bootstrap: str, mongo_url: str) -> None:
    name = f"gateway_{uuid4().hex[:12]}"
    with running_gateway(kafka_bootstrap, mongo_url, name, allow_input_download=True) as url:
        client = api(url, V2)
        made = upload(client)
        assert client.client.get(f"/files/{made['id']}/content", headers=client.headers).content == b"hello"
        client.client.close()


def test_without_a_key_nothing_is_read(url: str) -> None:
    response = httpx.post(f"{url}/v1/files", files={"file": ("a", b"x")}, data={"purpose": "assistants"})
    assert response.status_code == 401


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_official_sdk_uploads_lists_reads_and_deletes(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        made = client.files.create(
            file=("你好.txt", b"hello" * 1000),
            purpose="vision",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert (made.filename, made.bytes, made.status) == ("你好.txt", 5000, "processed")
        assert made.expires_at == made.created_at + 3600
        assert client.files.wait_for_processing(made.id).id == made.id
        assert made.id in [each.id for each in client.files.list(purpose="vision", limit=1)]
        assert client.files.content(made.id).read() == b"hello" * 1000
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.retrieve(made.id)
        with pytest.raises(openai.BadRequestError, match="is not one of"):
            client.files.create(file=b"x", purpose="world_domination")  # type: ignore[arg-type]
        with pytest.raises(openai.APIStatusError) as refusal:
            client.files.create(file=b"x" * (8 * MOST), purpose="vision")
        assert refusal.value.status_code == 413


def test_an_upload_that_breaks_off_is_cleaned_up(url: str, v2: Api) -> None:
    def half() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        yield b"x" * 2_000_000
        time.sleep(0.2)
        raise ConnectionError("gone")

    before = v2.get("/files")["data"]
    headers = {**v2.headers, "content-type": "multipart/form-data; boundary=b"}
    with pytest.raises(ConnectionError):
        httpx.post(f"{url}/v1/files", content=half(), headers=headers)
    assert v2.get("/files")["data"] == before
