"""What holds for every request: keys, headers, errors, paths, limits, probes."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.integration.running_gateway import KEY, V1, V2, running_gateway

BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str) -> Iterator[str]:
    database = f"gateway_{uuid4().hex[:12]}"
    with running_gateway(kafka_bootstrap, mongo_url, database, max_body_bytes=10_000) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=BEARER | V2, timeout=60) as client:
        yield client


def error_of(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, str | None] = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def test_every_answer_carries_the_headers_that_sdks_show(client: httpx.Client) -> None:
    for response in (client.post("/v1/threads"), client.get("/v1/threads/none"), client.get("/nowhere")):
        request_id = response.headers["x-request-id"]
        assert request_id.startswith("req_")
        assert len(request_id) == 36
        assert response.headers["openai-version"] == "2020-10-01"
        assert response.headers["openai-processing-ms"].isdigit()
        assert response.headers["access-control-expose-headers"] == "X-Request-ID"
        assert response.headers["openai-organization"]


def test_scripts_of_pages_may_call_with_a_key(client: httpx.Client, url: str) -> None:
    """As the SDK for Node does in a browser, with ``dangerouslyAllowBrowser``."""
    page = {"Origin": "https://page.example"}
    asked = "authorization,content-type,openai-beta,x-stainless-lang"
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    may = httpx.options(f"{url}/v1/threads", headers=page | wanted)
    assert (may.status_code, may.headers["access-control-allow-origin"]) == (200, "*")
    assert may.headers["access-control-allow-headers"] == asked
    for answer in (client.post("/v1/threads", headers=page), httpx.post(f"{url}/v1/threads", headers=page)):
        assert answer.headers["access-control-allow-origin"] == "*", "errors can be read, too"
        assert answer.headers["access-control-expose-headers"] == "X-Request-ID"
    assert "access-control-allow-origin" not in client.post("/v1/threads").headers


def test_the_key_comes_before_everything_else(url: str) -> None:
    error = error_of(httpx.post(f"{url}/v1/threads", content=b"{"), 401)
    assert error["message"] is not None
    assert error["message"].startswith("You didn't provide an API key.")
    assert (error["type"], error["code"]) == ("invalid_request_error", None)
    wrong = httpx.post(f"{url}/v1/threads", headers={"Authorization": "Bearer sk-wrong"} | V2)
    assert error_of(wrong, 401)["code"] == "invalid_api_key"
    assert httpx.post(f"{url}/v1/threads", auth=("", KEY), headers=V2).status_code == 200


def test_the_version_comes_before_the_body(url: str) -> None:
    error = error_of(httpx.post(f"{url}/v1/threads", headers=BEARER, content=b"{"), 400)
    assert error["code"] == "invalid_beta"
    several = [*BEARER.items(), ("OpenAI-Beta", "realtime=v1"), ("OpenAI-Beta", "assistants=v1")]
    answer = httpx.post(f"{url}/v1/threads", headers=several)
    assert "tool_resources" not in answer.json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/foo"),
        ("GET", "/v1/threads//messages"),
        ("POST", "/v1/vector_stores/vs_1/files/"),
        ("GET", "/v1/assistants/asst_1/files"),
        ("GET", "/v1/threads/"),
    ],
)
def test_an_unknown_path_is_told(client: httpx.Client, method: str, path: str) -> None:
    error = error_of(client.request(method, path), 404)
    assert error["message"] == f"Invalid URL ({method} {path})"


def test_a_wrong_method_is_told(client: httpx.Client) -> None:
    response = client.put("/v1/threads")
    error = error_of(response, 405)
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    assert error["message"] == f"Not allowed to PUT on /v1/threads {hint}"
    assert response.headers["allow"] == "POST"


def test_a_body_that_is_no_json_is_told(client: httpx.Client) -> None:
    error = error_of(client.post("/v1/threads", content=b"{'a': 1}"), 400)
    assert error["message"] is not None
    assert error["message"].startswith("We could not parse the JSON body of your request.")


def test_no_content_type_is_needed(client: httpx.Client) -> None:
    answer = client.post("/v1/threads", content=b'{"metadata": {"a": "b"}}')
    assert answer.json()["metadata"] == {"a": "b"}


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    message = {"role": "user", "content": "x" * 10_000}
    error = error_of(client.post("/v1/threads", json={"messages": [message]}), 413)
    assert error["message"] == "Maximum request size is 10000 bytes."


def test_the_same_routes_are_served_at_the_bare_root(client: httpx.Client) -> None:
    made = client.post("/threads").json()
    assert client.get(f"/v1/threads/{made['id']}").json() == made


def test_any_text_comes_back_as_it_was(client: httpx.Client) -> None:
    text = "naïve 【4:0†f.txt】 \U0001f600 \u2028 \x00 `x`"
    thread = client.post("/v1/threads", json={"messages": [{"role": "user", "content": text}]}).json()["id"]
    for version in (V1, V2):
        [message] = client.get(f"/v1/threads/{thread}/messages", headers=version).json()["data"]
        assert message["content"][0]["text"]["value"] == text


def test_probes_need_no_key(url: str) -> None:
    assert httpx.get(f"{url}/livez", timeout=60).json() == {"status": "ok"}
    assert httpx.get(f"{url}/readyz", timeout=60).json() == {"status": "ok", "store": "ok", "kafka": "ok"}


def test_the_openapi_document_is_served(url: str) -> None:
    assert "/v1/threads/runs" in httpx.get(f"{url}/openapi.json", timeout=60).json()["paths"]
