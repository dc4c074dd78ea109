"""What is refused, through the SDK's exceptions and on the wire, in the words of the API."""

import base64
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json, error_of

NEVER = "{}_0123456789abcdefghijklmn"


@pytest.fixture
def api(threadmill: BackgroundStack) -> Iterator[Api]:
    with Api(threadmill.base_url, threadmill.api_key) as api:
        yield api


@pytest.fixture
def v1(threadmill: BackgroundStack) -> Iterator[Api]:
    with Api(threadmill.base_url, threadmill.api_key, "v1") as api:
        yield api


@pytest.fixture
def client(threadmill: BackgroundStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=threadmill.base_url, api_key=threadmill.api_key, max_retries=0) as client:
        yield client


def test_the_exceptions_of_the_sdk(client: OpenAI, threadmill: BackgroundStack) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.beta.threads.retrieve(NEVER.format("thread"))
    assert missing.value.body == {
        "message": f"No thread found with id '{NEVER.format('thread')}'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert (missing.value.request_id or "").startswith("req_")
    with pytest.raises(openai.BadRequestError) as bad:
        client.beta.assistants.create(model="m", extra_body={"file_ids": []})
    assert (bad.value.param, bad.value.code) == ("file_ids", "unknown_parameter")
    assert "Unknown parameter: 'file_ids'." in bad.value.message
    stranger = OpenAI(base_url=threadmill.base_url, api_key="sk-wrong-0123456789", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.beta.threads.create()
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [(None, None), ("Bearer", None), ("Bearer sk-other", "invalid_api_key"), ("Basic !", None)],
)
def test_keys(api: Api, authorization: str | None, code: str | None) -> None:
    headers = {"OpenAI-Beta": "assistants=v2"} | ({"Authorization": authorization} if authorization else {})
    error = error_of(api.client.get("/assistants", headers=headers), 401)
    assert error["code"] == code
    words = "Incorrect API key provided: " if code else "You didn't provide an API key."
    assert error["message"].startswith(words)


def test_a_key_may_come_as_a_password(api: Api, threadmill: BackgroundStack) -> None:
    password = base64.b64encode(f":{threadmill.api_key}".encode()).decode()
    headers = api.headers | {"Authorization": f"Basic {password}"}
    assert api.client.get("/assistants", headers=headers).status_code == 200


def test_the_version_must_be_named(api: Api) -> None:
    key = {"Authorization": api.headers["Authorization"]}
    for beta in (None, "assistants=v3", "realtime=v1"):
        headers = key | ({"OpenAI-Beta": beta} if beta else {})
        for path in ("/assistants", f"/threads/{NEVER.format('thread')}"):
            error = error_of(api.client.get(path, headers=headers), 400)
            assert error["code"] == "invalid_beta"
    both = key | {"OpenAI-Beta": "assistants=v1, assistants=v2"}
    made = api.client.post("/threads", headers=both).json()
    assert "tool_resources" in made


@pytest.mark.parametrize(("method", "path"), [("POST", "/foo"), ("GET", "/threads/a/b"), ("GET", "/chat")])
def test_paths_that_do_not_exist(api: Api, method: str, path: str) -> None:
    error = api.refused(method, path, status=404)
    assert error["message"] == f"Invalid URL ({method} /v1{path})"
    assert error["type"] == "invalid_request_error"


def test_methods_that_do_not_exist(api: Api) -> None:
    error = api.refused("DELETE", "/threads", status=405)
    assert error["message"].startswith("Not allowed to DELETE on /v1/threads (HINT: ")
    for method in ("PUT", "PATCH"):
        error = api.refused(method, f"/threads/{api.thread()}", {}, status=405)
        assert error["message"].startswith(f"Not allowed to {method} on /v1/threads/")


@pytest.mark.parametrize("body", [b"{", b"nothing", b'{"a": NaN}', b"\xff", b'{"model": "m"', b"[1,"])
def test_a_body_that_is_no_json(api: Api, body: bytes) -> None:
    headers = api.headers | {"content-type": "application/json"}
    error = error_of(api.client.post("/assistants", content=body, headers=headers), 400)
    assert error["message"].startswith("We could not parse the JSON body of your request.")


def test_metadata_by_version(api: Api, v1: Api) -> None:
    assert v1.post("/threads", {"metadata": {"a": True, "b": 1, "c": "x"}})["metadata"] == {
        "a": "True",
        "b": "1",
        "c": "x",
    }
    error = api.refused("POST", "/threads", {"metadata": {"modified": True}})
    assert error["message"] == (
        "Invalid type for 'metadata.modified': expected a string, but got a boolean instead."
    )
    assert (error["param"], error["code"]) == ("metadata.modified", "invalid_type")
    for each in (api, v1):
        assert each.refused("POST", "/threads", {"metadata": ["a"]})["type"] == "invalid_request_error"
        assert each.refused("POST", "/threads", {"metadata": {str(n): "" for n in range(17)}})
        assert each.refused("POST", "/threads", {"metadata": {"k": "x" * 513}})
        assert each.refused("POST", "/threads", {"metadata": {"k" * 65: ""}})
        assert each.post("/threads", {"metadata": None})["metadata"] == {}
        thread = each.post("/threads", {"metadata": {"a": "1", "b": "2"}})
        path = f"/threads/{thread['id']}"
        assert each.post(path, {"metadata": {"b": "", "c": "3"}})["metadata"] == {
            "a": "1",
            "b": "",
            "c": "3",
        }
        assert each.post(path, {"metadata": None})["metadata"] == each.get(path)["metadata"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/assistants", {"model": "m", "nonsense": 1}, "nonsense"),
        ("/threads", {"nonsense": 1}, "nonsense"),
        ("/threads", {"messages": [{"role": "user", "content": "x", "nonsense": 1}]}, "messages[0].nonsense"),
        ("/threads/{thread}", {"nonsense": 1}, "nonsense"),
        ("/threads/{thread}/messages", {"role": "user", "content": "x", "nonsense": 1}, "nonsense"),
        ("/threads/{thread}/runs", {"assistant_id": "asst_x", "nonsense": 1}, "nonsense"),
        ("/threads/runs", {"assistant_id": "asst_x", "nonsense": 1}, "nonsense"),
        ("/threads/runs", {"assistant_id": "asst_x", "additional_messages": []}, "additional_messages"),
    ],
)
def test_unknown_fields(api: Api, v1: Api, path: str, body: Json, param: str) -> None:
    for each in (api, v1):
        error = each.refused("POST", path.format(thread=each.thread()), body)
        assert (error["param"], error["code"]) == (param, "unknown_parameter")
        assert error["message"] == f"Unknown parameter: '{param}'."


def test_ids_that_name_nothing(api: Api) -> None:
    thread = api.thread("Hello")
    message, run, step = (NEVER.format(kind) for kind in ("msg", "run", "step"))
    never, assistant = NEVER.format("thread"), NEVER.format("asst")
    gone = {
        f"/assistants/{assistant}": f"No assistant found with id '{assistant}'.",
        f"/threads/{never}": f"No thread found with id '{never}'.",
        f"/threads/{never}/messages": f"No thread found with id '{never}'.",
        f"/threads/{never}/runs": f"No thread found with id '{never}'.",
        f"/threads/{thread}/messages/{message}": f"No message found with id '{message}'.",
        f"/threads/{thread}/runs/{run}": f"No run found with id '{run}'.",
        f"/threads/{thread}/runs/{run}/steps": f"No run found with id '{run}'.",
        f"/threads/{thread}/runs/{run}/steps/{step}": f"No run found with id '{run}'.",
    }
    for path, message_ in gone.items():
        assert api.refused("GET", path, status=404)["message"] == message_
    error = api.refused("POST", f"/threads/{thread}/runs", {"assistant_id": assistant}, status=404)
    assert error["message"] == f"No assistant found with id '{assistant}'."
    error = api.refused("POST", f"/threads/{never}/messages", {"role": "user", "content": "x"}, status=404)
    assert error["message"] == f"No thread found with id '{never}'."
    for action, body in (("cancel", None), ("submit_tool_outputs", {"tool_outputs": []})):
        path = f"/threads/{thread}/runs/{run}/{action}"
        assert api.refused("POST", path, body, status=404)["message"] == f"No run found with id '{run}'."


async def test_objects_of_another_thread_are_not_there(api: Api) -> None:
    assistant, thread, other = api.assistant(), api.thread("Hello"), api.thread("Hello")
    run = await api.completes(api.run(thread, assistant))
    (message,), (step,) = api.messages(run), api.steps(run)
    for path in (f"messages/{message['id']}", f"runs/{run['id']}", f"runs/{run['id']}/steps/{step['id']}"):
        api.get(f"/threads/{thread}/{path}")
        api.refused("GET", f"/threads/{other}/{path}", status=404)
    error = api.refused("GET", f"/threads/{thread}/runs/{run['id']}/steps/step_x", status=404)
    assert error["message"] == "No run step found with id 'step_x'."


async def test_what_is_deleted_stays_away(api: Api) -> None:
    assistant, thread = api.assistant(), api.thread("Hello")
    run = await api.completes(api.run(thread, assistant))
    assert api.delete(f"/assistants/{assistant}") == {
        "id": assistant,
        "object": "assistant.deleted",
        "deleted": True,
    }
    api.refused("DELETE", f"/assistants/{assistant}", status=404)
    assert api.run_of(run)["assistant_id"] == assistant  # old runs keep what they need
    api.refused("POST", f"/threads/{thread}/runs", {"assistant_id": assistant}, status=404)
    (message,) = api.messages(run)
    path = f"/threads/{thread}/messages/{message['id']}"
    assert api.delete(path) == {"id": message["id"], "object": "thread.message.deleted", "deleted": True}
    api.refused("GET", path, status=404)
    assert api.messages(run) == []
    assert api.delete(f"/threads/{thread}") == {"id": thread, "object": "thread.deleted", "deleted": True}
    for gone in ("", "/messages", "/runs", f"/runs/{run['id']}", f"/runs/{run['id']}/steps"):
        api.refused("GET", f"/threads/{thread}{gone}", status=404)
    api.refused("DELETE", f"/threads/{thread}", status=404)


def test_nothing_to_do(api: Api, v1: Api) -> None:
    assistant = api.assistant(instructions=None)
    error = api.refused("POST", f"/threads/{api.thread()}/runs", {"assistant_id": assistant})
    assert error["message"] == (
        "Run creation requires a Thread with a user message or an assistant with instructions."
    )
    assert error["code"] == "invalid_thread"
    assert v1.run(v1.thread(), assistant)["status"] == "queued"
