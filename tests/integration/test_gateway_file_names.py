"""Where files are named: assistants, threads, messages and runs, in both versions, and what deleting does."""

from services.gateway.wire.objects import AssistantFileObject, MessageFileObject
from shared.runs.model import Json
from tests.integration.running_gateway import Api, Worker
from tests.integration.test_gateway_files import upload

CODE = {"type": "code_interpreter"}
SEARCH = {"type": "file_search"}


def file(to: Api, name: str = "a.txt", purpose: str = "assistants") -> str:
    return str(upload(to, name=name, purpose=purpose)["id"])


def for_code(*file_ids: str) -> Json:
    return {"code_interpreter": {"file_ids": list(file_ids)}}


def assistant_v1(v1: Api, *file_ids: str, tool: str = "code_interpreter") -> str:
    body = {"model": "m", "instructions": "Be kind.", "tools": [{"type": tool}], "file_ids": list(file_ids)}
    made = v1.post("/assistants", body)
    assert made["file_ids"] == list(file_ids)
    return str(made["id"])


def test_the_files_of_a_v1_assistant_are_those_of_its_code_interpreter(v1: Api, v2: Api) -> None:
    one, two, three = file(v1), file(v1), file(v1)
    made = assistant_v1(v1, one, two)
    path = f"/assistants/{made}"
    assert v2.get(path)["tool_resources"] == for_code(one, two)
    assert v1.post(path, {"file_ids": [two, three]})["file_ids"] == [two, three]
    assert v2.get(path)["tool_resources"] == for_code(two, three)
    assert v1.post(path, {"name": "n"})["file_ids"] == [two, three]
    assert v1.post(path, {"tools": [{"type": "retrieval"}]})["file_ids"] == [two, three]
    assert v1.post(path, {"file_ids": None})["file_ids"] == []
    listed = next(each for each in v1.get("/assistants")["data"] if each["id"] == made)
    assert listed["file_ids"] == []


def test_what_v2_gives_does_not_show_in_v1_and_stays(v1: Api, v2: Api) -> None:
    one, two = file(v2), file(v2)
    made = v2.post("/assistants", {"model": "m", "tools": [CODE], "tool_resources": for_code(one)})["id"]
    path = f"/assistants/{made}"
    assert v1.get(path)["file_ids"] == []
    assert v1.post(path, {"file_ids": [two]})["file_ids"] == [two]
    assert v2.get(path)["tool_resources"] == for_code(one, two)
    assert v1.post(path, {"file_ids": []})["file_ids"] == []
    assert v2.get(path)["tool_resources"] == for_code(one)
    assert v2.post(path, {"tool_resources": for_code()})["tool_resources"] == for_code()


def test_retrieval_alone_gives_the_code_interpreter_nothing(v1: Api, v2: Api) -> None:
    one = file(v1)
    path = f"/assistants/{assistant_v1(v1, one, tool='retrieval')}"
    assert "code_interpreter" not in v2.get(path)["tool_resources"]
    assert v1.post(path, {"tools": [CODE]})["file_ids"] == [one]
    assert v2.get(path)["tool_resources"]["code_interpreter"] == {"file_ids": [one]}


def test_files_are_attached_and_detached_one_by_one(v1: Api, v2: Api) -> None:
    one, two = file(v1), file(v1)
    made = assistant_v1(v1, one)
    path = f"/assistants/{made}/files"
    attached = v1.post(path, {"file_id": two})
    AssistantFileObject.model_validate(attached)
    assert (attached["id"], attached["object"], attached["assistant_id"]) == (two, "assistant.file", made)
    assert v1.post(path, {"file_id": two}) == attached
    assert v1.get(f"/assistants/{made}")["file_ids"] == [one, two]
    assert v2.get(f"/assistants/{made}")["tool_resources"] == for_code(one, two)
    page = v1.get(path, limit=1)
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([two], True)
    assert [each["id"] for each in v1.get(path, after=two)["data"]] == [one]
    assert [each["id"] for each in v1.get(path, order="asc", before=two)["data"]] == [one]
    assert v1.get(path, after="file-never")["data"] == []
    assert v1.get(f"{path}/{two}") == attached
    gone = {"id": one, "object": "assistant.file.deleted", "deleted": True}
    assert v1.delete(f"{path}/{one}") == gone
    assert v1.get(f"/assistants/{made}")["file_ids"] == [two]
    assert v2.get(f"/assistants/{made}")["tool_resources"] == for_code(two)
    assert v1.get(f"/files/{one}")["id"] == one
    for method in ("GET", "DELETE"):
        assert v1.refused(method, f"{path}/{one}", status=404)["message"] == f"No file found with id '{one}'."


def test_what_cannot_be_attached_is_refused(v1: Api, v2: Api) -> None:
    path = f"/assistants/{assistant_v1(v1, *(file(v1) for _ in range(20)))}/files"
    error = v1.refused("POST", path, {"file_id": file(v1)})
    assert (error["param"], error["code"]) == ("file_ids", "array_above_max_length")
    unknown = v1.refused("POST", path, {"file_id": "file-x"})
    assert unknown["message"] == "The following file ids were not found: file-x"
    assert "purpose" in v1.refused("POST", path, {"file_id": file(v1, purpose="fine-tune")})["message"]
    v1.refused("POST", "/assistants/asst_x/files", {"file_id": "file-x"}, status=404)
    error = v2.refused("GET", path, status=404)
    assert error["message"] == f"Invalid URL (GET /v1{path})"


def test_an_attachment_of_a_message_goes_to_the_tools_of_its_thread(v1: Api, v2: Api) -> None:
    one, two = file(v2), file(v2)
    thread = v2.thread()
    attachments = [{"file_id": one, "tools": [SEARCH]}, {"file_id": two, "tools": [CODE]}]
    message = {"role": "user", "content": "What is this file?", "attachments": attachments}
    made = v2.post(f"/threads/{thread}/messages", message)
    assert made["attachments"] == attachments
    assert v2.get(f"/threads/{thread}/messages/{made['id']}") == made
    resources = v2.get(f"/threads/{thread}")["tool_resources"]
    [vector_store] = resources["file_search"]["vector_store_ids"]
    assert resources == for_code(two) | {"file_search": {"vector_store_ids": [vector_store]}}
    assert [each["id"] for each in v2.get(f"/vector_stores/{vector_store}/files")["data"]] == [one]
    v2.post(f"/threads/{thread}/messages", message)
    assert v2.get(f"/threads/{thread}")["tool_resources"] == resources
    assert v1.get(f"/threads/{thread}/messages/{made['id']}")["file_ids"] == [one, two]


def test_a_message_of_v1_has_files_for_every_tool(v1: Api, v2: Api) -> None:
    one, two = file(v1), file(v1)
    message = {"role": "user", "content": "see", "file_ids": [one, two]}
    thread = v1.post("/threads", {"messages": [message]})["id"]
    [made] = v1.get(f"/threads/{thread}/messages")["data"]
    assert made["file_ids"] == [one, two]
    [seen] = v2.get(f"/threads/{thread}/messages")["data"]
    assert seen["attachments"] == [{"file_id": each, "tools": [CODE, SEARCH]} for each in (one, two)]
    resources = v2.get(f"/threads/{thread}")["tool_resources"]
    assert resources["code_interpreter"] == for_code(one, two)["code_interpreter"]
    [vector_store] = resources["file_search"]["vector_store_ids"]
    assert [each["id"] for each in v2.get(f"/vector_stores/{vector_store}/files")["data"]] == [two, one]
    path = f"/threads/{thread}/messages/{made['id']}/files"
    found = v1.get(path)
    assert [each["id"] for each in found["data"]] == [two, one]
    MessageFileObject.model_validate(found["data"][0])
    assert v1.get(f"{path}/{one}") == found["data"][1]
    assert found["data"][1]["message_id"] == made["id"]
    assert v1.refused("GET", f"{path}/file-x", status=404)["message"] == "No file found with id 'file-x'."
    assert v2.refused("GET", path, status=404)["message"] == f"Invalid URL (GET /v1{path})"
    error = v1.refused("POST", f"/threads/{thread}/messages", message | {"file_ids": [one] * 11})
    assert error["code"] == "array_above_max_length"


def test_images_are_files_of_the_right_kind(v2: Api) -> None:
    def showing(file_id: str) -> Json:
        return {"role": "user", "content": [{"type": "image_file", "image_file": {"file_id": file_id}}]}

    path = f"/threads/{v2.thread()}/messages"
    for name, purpose in (("a.PNG", "vision"), ("b.webp", "assistants")):
        image = file(v2, name, purpose)
        made = v2.post(path, showing(image))
        assert made["content"] == [{"type": "image_file", "image_file": {"file_id": image, "detail": "auto"}}]
        assert made["attachments"] == []
    endings = ".jpeg, .jpg, .png, .gif, .webp"
    for name, got in (("a.txt", ".txt"), ("noending", "none")):
        assert v2.refused("POST", path, showing(file(v2, name)))["message"] == (
            f"Invalid message content: Expected file type to be a supported format: {endings} but got {got}."
        )
    assert "purpose" in v2.refused("POST", path, showing(file(v2, "a.png", "batch")))["message"]


def test_a_thread_has_room_for_twenty_files(v2: Api) -> None:
    one = file(v2)
    resources = for_code(*(file(v2) for _ in range(20)))
    thread = v2.post("/threads", {"tool_resources": resources})["id"]
    message = {"role": "user", "content": "x", "attachments": [{"file_id": one, "tools": [CODE]}]}
    for path, body in (
        (f"/threads/{thread}/messages", message),
        ("/threads", {"tool_resources": resources, "messages": [message]}),
    ):
        error = v2.refused("POST", path, body)
        assert error["code"] == "array_above_max_length"
        assert error["param"] == "tool_resources.code_interpreter.file_ids"
    assert v2.get(f"/threads/{thread}/messages")["data"] == []


async def test_a_run_works_on_the_files_of_its_assistant_and_its_thread(
    v1: Api, v2: Api, mongo_url: str, database: str
) -> None:
    one, two, three = file(v2), file(v2), file(v2)
    body = {"instructions": "Be kind.", "tools": [CODE], "tool_resources": for_code(one)}
    assistant = v2.post("/assistants", {"model": "m", **body})["id"]
    thread = v2.post("/threads", {"tool_resources": for_code(one, two)})["id"]
    more = [{"role": "user", "content": "x", "attachments": [{"file_id": three, "tools": [CODE]}]}]
    run = v2.post(f"/threads/{thread}/runs", {"assistant_id": assistant, "additional_messages": more})
    assert run["tool_resources"] == for_code(one, two, three)
    assert v2.get(f"/threads/{thread}")["tool_resources"] == for_code(one, two, three)
    assert v1.get(f"/threads/{thread}/runs/{run['id']}")["file_ids"] == [one, two, three]
    worker = Worker(mongo_url, database)
    assert (await worker.get(run["id"])).settings.tool_resources == for_code(one, two, three)
    worker.close()
    both = {"assistant_id": assistant, "thread": {"messages": more}, "tool_resources": for_code(two)}
    run = v2.post("/threads/runs", both)
    assert run["tool_resources"] == for_code(one, two, three)
    assert v2.get(f"/threads/{run['thread_id']}")["tool_resources"] == for_code(two, three)


def test_a_deleted_file_is_named_nowhere_any_more(v1: Api, v2: Api) -> None:
    one, two = file(v1), file(v1)
    assistant = assistant_v1(v1, one, two)
    thread = v2.post("/threads", {"tool_resources": for_code(one, two)})["id"]
    v2.delete(f"/files/{one}")
    assert v1.get(f"/assistants/{assistant}")["file_ids"] == [two]
    assert v2.get(f"/assistants/{assistant}")["tool_resources"] == for_code(two)
    assert v2.get(f"/threads/{thread}")["tool_resources"] == for_code(two)
    body = {"role": "user", "content": "x", "attachments": [{"file_id": one, "tools": [SEARCH]}]}
    error = v2.refused("POST", f"/threads/{thread}/messages", body)
    assert error["message"] == f"The following file ids were not found: {one}"


def test_a_run_shows_the_files_of_its_assistant_to_v1_alone(v1: Api, v2: Api) -> None:
    one, two = file(v1), file(v1)
    assistant = assistant_v1(v1, one, two, tool="retrieval")
    said = {"messages": [{"role": "user", "content": "x"}]}
    for path, body in (
        (f"/threads/{v1.post('/threads', said)['id']}/runs", {}),
        ("/threads/runs", {"thread": said}),
    ):
        run = v1.post(path, {"assistant_id": assistant, **body})
        path = f"/threads/{run['thread_id']}/runs"
        shown = [run, v1.get(f"{path}/{run['id']}"), *v1.get(path)["data"]]
        assert [each["file_ids"] for each in shown] == [[one, two]] * 3
        assert all("file_ids" not in each for each in (v2.get(f"{path}/{run['id']}"), *v2.get(path)["data"]))
