"""API keys in the store: what each opens, and for how long."""

import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from deploy.local.keys import row_of
from services.gateway.auth import ORGANIZATION
from services.gateway.keys import kid_of
from tests.integration.api_keys import PEPPER, all_keys, make_key, revoke_key
from tests.integration.running_gateway import KEY, V2, running_gateway

WITHIN_S = 5.0


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[str]:
    with running_gateway(kafka_bootstrap, mongo_url, database, key_pepper=SecretStr(PEPPER)) as url:
        yield url


def ask(url: str, method: str, path: str, key: str, **headers: str) -> httpx.Response:
    return httpx.request(
        method, f"{url}/v1{path}", headers={"Authorization": f"Bearer {key}", **V2, **headers}
    )


def error_of(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    error: dict[str, str | None] = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def test_a_key_opens_its_project_and_the_one_of_the_settings_the_default(
    url: str, mongo_url: str, database: str
) -> None:
    ours, theirs = (make_key(mongo_url, database, project) for project in ("a", "b"))
    thread = ask(url, "POST", "/threads", ours).json()["id"]
    assert ask(url, "GET", f"/threads/{thread}", ours).status_code == 200
    assert ask(url, "GET", f"/threads/{thread}", make_key(mongo_url, database, "a")).status_code == 200
    for foreign in (theirs, KEY):
        error = error_of(ask(url, "GET", f"/threads/{thread}", foreign), 404)
        assert error["message"] == f"No thread found with id '{thread}'."
    same_project = make_key(mongo_url, database, "default")
    thread = ask(url, "POST", "/threads", KEY).json()["id"]
    assert ask(url, "GET", f"/threads/{thread}", same_project).status_code == 200


def test_what_only_looks_like_a_key_opens_nothing(url: str, mongo_url: str, database: str) -> None:
    key = make_key(mongo_url, database, "a")
    for wrong in (
        key[:-1] + ("x" if key[-1] != "x" else "y"),
        key[:-1],
        "sk-tm-",
        f"sk-tm-{'a' * 12}-{'b' * 43}",
    ):
        error = error_of(ask(url, "GET", "/assistants", wrong), 401)
        assert error["code"] == "invalid_api_key"
        assert wrong not in str(error)
    expired = make_key(mongo_url, database, "a", expires_at=int(time.time()) - 1)
    assert error_of(ask(url, "GET", "/assistants", expired), 401)["code"] == "invalid_api_key"


def test_a_revoked_key_opens_nothing_any_more_on_any_gateway(
    kafka_bootstrap: str, url: str, mongo_url: str, database: str
) -> None:
    key = make_key(mongo_url, database, "a")
    with running_gateway(kafka_bootstrap, mongo_url, database, key_pepper=SecretStr(PEPPER)) as other:
        for each in (url, other):
            assert ask(each, "GET", "/assistants", key).status_code == 200
        revoke_key(mongo_url, database, kid_of(key) or "")
        deadline = time.monotonic() + WITHIN_S
        left = {url, other}
        while left and time.monotonic() < deadline:
            left -= {each for each in left if ask(each, "GET", "/assistants", key).status_code == 401}
            time.sleep(0.1)
        assert not left


def test_a_scope_is_needed_to_read_and_to_write(url: str, mongo_url: str, database: str) -> None:
    reader = make_key(mongo_url, database, "a", scopes=["read"])
    writer = make_key(mongo_url, database, "a", scopes=["write"])
    admin = make_key(mongo_url, database, "a", scopes=["admin"])
    assert ask(url, "GET", "/assistants", reader).status_code == 200
    assert ask(url, "POST", "/threads", writer).status_code == 200
    assert {ask(url, m, p, admin).status_code for m, p in (("GET", "/assistants"), ("POST", "/threads"))} == {
        200
    }
    for key, method, path, scope in (
        (reader, "POST", "/threads", "write"),
        (reader, "DELETE", "/threads/thread_x", "write"),
        (writer, "GET", "/assistants", "read"),
    ):
        error = error_of(ask(url, method, path, key), 403)
        assert (error["type"], error["code"]) == ("invalid_request_error", "missing_scope")
        assert f"Missing scopes: {scope}." in str(error["message"])


def test_organisation_and_project_must_be_the_keys(url: str, mongo_url: str, database: str) -> None:
    key = make_key(mongo_url, database, "a")
    own = {"OpenAI-Organization": ORGANIZATION, "OpenAI-Project": "a"}
    answer = ask(url, "GET", "/assistants", key, **own)
    assert answer.status_code == 200
    assert answer.headers["openai-organization"] == ORGANIZATION
    for header, name in (("OpenAI-Organization", "organization"), ("OpenAI-Project", "project")):
        error = error_of(ask(url, "GET", "/assistants", key, **{header: "another"}), 401)
        assert error["code"] == f"mismatched_{name}"
        assert error["message"] == f"{header} header should match {name} for API key"
    assert ask(url, "GET", "/assistants", KEY, **{"OpenAI-Project": "default"}).status_code == 200


def test_the_last_use_of_a_key_is_known_roughly(url: str, mongo_url: str, database: str) -> None:
    key = make_key(mongo_url, database, "seldom")
    ask(url, "GET", "/assistants", key)
    [stored] = [each for each in all_keys(mongo_url, database) if each["project_id"] == "seldom"]
    assert abs(stored["last_used_at"] - time.time()) < 60
    assert row_of(stored, int(time.time()))[1:3] == ("seldom", "read,write")
    assert key not in str(stored)
    assert key.rpartition("-")[2] not in str(stored)
