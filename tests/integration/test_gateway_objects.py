"""Assistants, threads and messages over HTTP, on a real store: made, read, listed, changed, deleted."""

import pytest

from services.gateway.wire.objects import AssistantObject, MessageObject, ThreadObject
from tests.integration import recorded
from tests.integration.recorded import check_shape
from tests.integration.running_gateway import V1, V2, Api, api


def test_an_assistant_has_the_recorded_shape_in_both_versions(v1: Api, v2: Api) -> None:
    made = v2.post("/assistants", {"model": "gpt-4o"})
    check_shape(made, recorded.ASSISTANT_V2)
    AssistantObject.model_validate(made)
    assert v2.get(f"/assistants/{made['id']}") == made
    named = v1.post(f"/assistants/{made['id']}", {"name": "Test"})
    check_shape(named, recorded.ASSISTANT_V1)
    assert v1.get(f"/assistants/{made['id']}") == named


def test_tools_are_filled_in_for_v2_and_plain_for_v1(v1: Api, v2: Api) -> None:
    function = {"name": "get_current_weather", "description": "Gets the user's current weather"}
    tools = [{"type": "code_interpreter"}, {"type": "retrieval"}, {"type": "function", "function": function}]
    made = v1.post("/assistants", {"model": "gpt-4-1106-preview", "tools": tools})
    parameters = {"type": "object", "properties": {}}
    assert made["tools"] == [
        *tools[:2],
        {"type": "function", "function": function | {"parameters": parameters}},
    ]
    seen = v2.get(f"/assistants/{made['id']}")
    assert [tool["type"] for tool in seen["tools"]] == ["code_interpreter", "file_search", "function"]
    assert seen["tools"][1]["file_search"] == {
        "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}
    }
    check_shape(seen["tools"][2], recorded.FUNCTION_V2)
    assert seen["tool_resources"] == {"code_interpreter": {"file_ids": []}}


def test_a_json_schema_is_kept_as_it_came(v2: Api) -> None:
    schema = {"$defs": {"a.b": {"$ref": "#/x", "$id": "y"}}, "type": "object", "$schema": "z"}
    function = {"name": "f", "parameters": schema, "strict": True}
    made = v2.post("/assistants", {"model": "m", "tools": [{"type": "function", "function": function}]})
    assert v2.get(f"/assistants/{made['id']}")["tools"][0]["function"] == function
    answer_format = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    changed = v2.post(f"/assistants/{made['id']}", {"response_format": answer_format})
    assert changed["response_format"] == answer_format


def test_modifying_an_assistant_replaces_what_is_given_and_merges_metadata(v2: Api) -> None:
    made = v2.post(
        "/assistants", {"model": "m", "name": "n", "temperature": 0.5, "metadata": {"a": "1", "b": "2"}}
    )
    path = f"/assistants/{made['id']}"
    changed = v2.post(path, {"temperature": None, "metadata": {"b": "3", "$c": "4"}, "tools": []})
    assert changed == made | {"temperature": 1.0, "metadata": {"a": "1", "b": "3", "$c": "4"}}
    assert v2.post(path, {"metadata": None, "name": None}) == changed | {"name": None}
    assert v2.post(path) == v2.get(path)
    error = v2.refused("POST", path, {"metadata": {str(n): "" for n in range(14)}})
    assert (error["param"], error["code"]) == ("metadata", "object_above_max_properties")


def test_json_mode_goes_with_functions_only(v1: Api, v2: Api) -> None:
    body = {"model": "m", "tools": [{"type": "code_interpreter"}], "response_format": {"type": "json_object"}}
    for client in (v1, v2):
        assert client.refused("POST", "/assistants", body)["message"] == (
            "Invalid tools: all tools must be of type `function` "
            "when `response_format` is of type `json_object`."
        )


def test_assistants_are_listed_page_by_page_and_a_deleted_one_keeps_its_place(v2: Api) -> None:
    made = [v2.post("/assistants", {"model": "m", "name": str(n)})["id"] for n in range(5)]
    page = v2.get("/assistants", limit=2)
    assert [each["id"] for each in page["data"]] == [made[4], made[3]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[4], made[3], True)
    assert v2.delete(f"/assistants/{made[3]}") == {
        "id": made[3],
        "object": "assistant.deleted",
        "deleted": True,
    }
    after = v2.get("/assistants", limit=2, after=made[3])
    assert [each["id"] for each in after["data"]] == [made[2], made[1]]
    before = v2.get("/assistants", before=made[2])
    assert [each["id"] for each in before["data"]] == [made[4]]
    upwards = v2.get("/assistants", order="asc", after=made[1], limit=2)
    assert [each["id"] for each in upwards["data"]] == [made[2], made[4]]
    assert not upwards["has_more"]
    assert v2.get("/assistants", order="asc", after=made[4])["data"] == []
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "")):
        error = v2.refused(method, f"/assistants/{made[3]}{path}", status=404)
        assert error["message"] == f"No assistant found with id '{made[3]}'."


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        (
            "limit=101",
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
            "integer_above_max_value",
        ),
        (
            "limit=0",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "integer_below_min_value",
        ),
        (
            "limit=ten",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "invalid_type",
        ),
        ("order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", "invalid_value"),
    ],
)
def test_bad_page_parameters_are_told(v2: Api, query: str, message: str, code: str) -> None:
    error = v2.refused("GET", f"/assistants?{query}")
    assert (error["message"], error["param"], error["code"]) == (message, query.split("=")[0], code)


def test_a_thread_needs_no_body_and_has_the_recorded_shape(v1: Api, v2: Api) -> None:
    made = v2.post("/threads")
    check_shape(made, recorded.THREAD_V2)
    ThreadObject.model_validate(made)
    assert v2.get(f"/threads/{made['id']}") == made
    check_shape(v1.post(f"/threads/{made['id']}", {"metadata": {"modified": True}}), recorded.THREAD_V1)
    assert v2.get(f"/threads/{made['id']}")["metadata"] == {"modified": "True"}
    error = v2.refused("POST", f"/threads/{made['id']}", {"metadata": {"modified": True}})
    assert (error["param"], error["code"]) == ("metadata.modified", "invalid_type")


def test_a_deleted_thread_takes_its_messages_along(v2: Api) -> None:
    thread = v2.thread("hello")
    [message] = v2.get(f"/threads/{thread}/messages")["data"]
    assert v2.delete(f"/threads/{thread}")["object"] == "thread.deleted"
    for path in ("", "/messages", f"/messages/{message['id']}", "/runs"):
        error = v2.refused("GET", f"/threads/{thread}{path}", status=404)
        assert error["message"] == f"No thread found with id '{thread}'."
    v2.refused("DELETE", f"/threads/{thread}", status=404)


def test_the_messages_of_a_new_thread_keep_their_order(v2: Api) -> None:
    thread = v2.thread("one", "two", "three")
    newest_first = v2.get(f"/threads/{thread}/messages")["data"]
    assert [each["content"][0]["text"]["value"] for each in newest_first] == ["three", "two", "one"]
    m1, m2, m3 = (each["id"] for each in reversed(newest_first))

    def before(cursor: str, **more: int) -> list[str]:
        page = v2.get(f"/threads/{thread}/messages", before=cursor, **more)
        return [each["id"] for each in page["data"]]

    assert (before(m2, limit=1), before(m1), before(m3)) == ([m3], [m3, m2], [])
    empty = v2.get(f"/threads/{thread}/messages", after="msg_never")
    check_shape(empty, recorded.EMPTY_LIST)
    assert v2.get(f"/threads/{thread}/messages", run_id="run_never")["data"] == []


def test_a_message_has_the_recorded_shape_in_both_versions(v1: Api, v2: Api) -> None:
    thread = v2.thread()
    made = v2.post(f"/threads/{thread}/messages", {"role": "user", "content": "`3x + 11 = 14`"})
    check_shape(made, recorded.MESSAGE_V2)
    MessageObject.model_validate(made)
    path = f"/threads/{thread}/messages/{made['id']}"
    assert v2.get(path) == made
    check_shape(v1.get(path), recorded.MESSAGE_V1)
    assert v2.post(path, {"metadata": {"k": "v"}}) == made | {"metadata": {"k": "v"}}
    assert v2.get(path)["metadata"] == {"k": "v"}
    seen = v1.post(f"/threads/{thread}/messages", {"role": "user", "content": "hi", "file_ids": []})
    check_shape(seen, recorded.MESSAGE_V1)


def test_image_parts_are_for_v2(v1: Api, v2: Api) -> None:
    image = {"url": "https://test.openai.com/image.png"}
    parts = [{"type": "text", "text": "Describe this."}, {"type": "image_url", "image_url": image}]
    thread = v2.post("/threads", {"messages": [{"role": "user", "content": parts}]})["id"]
    [message] = v2.get(f"/threads/{thread}/messages")["data"]
    text = {"type": "text", "text": {"value": "Describe this.", "annotations": []}}
    assert message["content"] == [text, {"type": "image_url", "image_url": image | {"detail": "auto"}}]
    assert v1.get(f"/threads/{thread}/messages/{message['id']}")["content"] == [text]


def test_a_deleted_message_is_gone_and_its_place_stays(v2: Api) -> None:
    thread = v2.thread("one", "two", "three")
    m3, m2, m1 = (each["id"] for each in v2.get(f"/threads/{thread}/messages")["data"])
    assert v2.delete(f"/threads/{thread}/messages/{m2}")["object"] == "thread.message.deleted"
    error = v2.refused("GET", f"/threads/{thread}/messages/{m2}", status=404)
    assert error["message"] == f"No message found with id '{m2}'."
    assert [each["id"] for each in v2.get(f"/threads/{thread}/messages", after=m2)["data"]] == [m1]
    assert [each["id"] for each in v2.get(f"/threads/{thread}/messages")["data"]] == [m3, m1]


def posting(**message: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "see", **message}]}


IN_CODE = {"tool_resources": {"code_interpreter": {"file_ids": ["file-x"]}}}
IMAGE = {"type": "image_file", "image_file": {"file_id": "file-x"}}


@pytest.mark.parametrize(
    ("version", "path", "body"),
    [
        (V1, "/assistants", {"model": "m", "file_ids": ["file-x"]}),
        (V2, "/assistants", {"model": "m", **IN_CODE}),
        (V2, "/threads", IN_CODE),
        (V1, "/threads", posting(file_ids=["file-x"])),
        (V2, "/threads", posting(attachments=[{"file_id": "file-x", "tools": [{"type": "file_search"}]}])),
        (V2, "/threads", posting(content=[IMAGE])),
    ],
)
def test_files_that_are_not_there_are_refused(
    url: str, version: dict[str, str], path: str, body: dict[str, object]
) -> None:
    client = api(url, version)
    with client.client:
        error = client.refused("POST", path, body)
    assert error["message"] == "The following file ids were not found: file-x"
    assert error["type"] == "invalid_request_error"


def test_a_vector_store_that_is_not_there_is_not_found(v2: Api) -> None:
    body = {"tool_resources": {"file_search": {"vector_store_ids": ["vs_x"]}}}
    error = v2.refused("POST", "/threads", body, status=404)
    assert error["message"] == "vector store with id 'vs_x' not found."
    v2.post("/threads", {"tool_resources": {"file_search": {"vector_store_ids": []}}})
