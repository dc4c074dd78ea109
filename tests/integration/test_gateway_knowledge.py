"""What file search looks into: the vector stores of assistants and threads, whoever made them."""

import asyncio

from shared.runs.model import Json
from tests.integration.running_gateway import Api, Worker
from tests.integration.test_gateway_file_names import CODE, SEARCH, assistant_v1, file, for_code
from tests.integration.test_gateway_vector_stores import DAY_S, WEEKLY, ids, new_store


def stores_of(v2: Api, path: str) -> list[str]:
    found: list[str] = v2.get(path)["tool_resources"]["file_search"]["vector_store_ids"]
    return found


def files_in(v2: Api, vector_store: str) -> list[str]:
    return ids(v2.get(f"/vector_stores/{vector_store}/files", order="asc"))


def naming(*vector_stores: str) -> Json:
    return {"file_search": {"vector_store_ids": list(vector_stores)}}


def with_file(file_id: str, *tools: Json) -> Json:
    return {
        "role": "user",
        "content": "x",
        "attachments": [{"file_id": file_id, "tools": list(tools or (SEARCH,))}],
    }


def test_an_assistant_and_a_thread_name_a_store_that_is_there(v2: Api) -> None:
    one, two = new_store(v2), new_store(v2)
    for path, body in (("/assistants", {"model": "m", "tools": [SEARCH]}), ("/threads", {})):
        made = v2.post(path, {**body, "tool_resources": naming(one)})
        assert made["tool_resources"] == naming(one)
        path = f"{path}/{made['id']}"
        assert v2.post(path, {"tool_resources": naming(two)})["tool_resources"] == naming(two)
        assert v2.post(path, {"tool_resources": for_code()})["tool_resources"] == naming(two) | for_code()
        for resources, status in ((naming("vs_x"), 404), (naming(one, two), 400)):
            v2.refused("POST", path, {"tool_resources": resources}, status=status)
        assert v2.post(path, {"tool_resources": naming()})["tool_resources"]["file_search"] == {
            "vector_store_ids": []
        }


def test_a_helper_makes_the_store(v2: Api) -> None:
    one, two = file(v2), file(v2)
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 0}}
    helper = {"file_ids": [one, two], "chunking_strategy": chunking, "metadata": {"a": "b"}}
    resources = {"file_search": {"vector_stores": [helper]}}
    for path, body, expires_after in (("/assistants", {"model": "m"}, None), ("/threads", {}, WEEKLY)):
        made = v2.post(path, {**body, "tool_resources": resources})
        [vector_store] = made["tool_resources"]["file_search"]["vector_store_ids"]
        assert made["tool_resources"] == naming(vector_store)
        found = v2.get(f"/vector_stores/{vector_store}")
        assert (found["metadata"], found["file_counts"]["total"]) == ({"a": "b"}, 2)
        assert found["expires_after"] == expires_after
        if expires_after:
            assert found["expires_at"] == found["last_active_at"] + 7 * DAY_S
        assert v2.get(f"/vector_stores/{vector_store}/files/{one}")["chunking_strategy"] == chunking
        assert files_in(v2, vector_store) == [one, two]


def test_a_helper_that_says_what_it_may_not_is_refused(v2: Api) -> None:
    one, there = file(v2), new_store(v2)
    of: Json = {"file_search": {"vector_stores": [{"file_ids": [one]}]}}
    both: Json = {"file_search": {"vector_stores": [{}], "vector_store_ids": [there]}}
    bad: Json = {"file_search": {"vector_stores": [{"chunking_strategy": {"type": "x"}}]}}
    gone: Json = {"file_search": {"vector_stores": [{"file_ids": ["file-x"]}]}}
    path = "tool_resources.file_search.vector_stores"
    before = len(v2.get("/vector_stores", limit=100)["data"])
    for resources, param, code in (
        (both, path, "mutually_exclusive_parameters"),
        (bad, f"{path}[0].chunking_strategy.type", "invalid_value"),
        (gone, None, None),
        ({"file_search": {"vector_stores": [{}, {}]}}, path, "array_above_max_length"),
    ):
        error = v2.refused("POST", "/assistants", {"model": "m", "tool_resources": resources})
        assert (error["param"], error["code"]) == (param, code)
        assert v2.refused("POST", "/threads", {"tool_resources": resources})["code"] == code
    assistant = v2.assistant()
    error = v2.refused("POST", f"/assistants/{assistant}", {"tool_resources": of})
    assert (error["param"], error["code"]) == (path, "unknown_parameter")
    assert len(v2.get("/vector_stores", limit=100)["data"]) == before


def test_the_files_of_messages_gather_in_the_store_of_their_thread(v2: Api) -> None:
    one, two, three, four = (file(v2) for _ in range(4))
    thread = v2.post("/threads", {"messages": [with_file(one), with_file(two, CODE, SEARCH)]})["id"]
    path = f"/threads/{thread}"
    [vector_store] = stores_of(v2, path)
    assert files_in(v2, vector_store) == [one, two]
    assert v2.get(f"/vector_stores/{vector_store}")["expires_after"] == WEEKLY
    v2.post(f"{path}/messages", with_file(three))
    v2.post(f"{path}/messages", with_file(one))
    assert stores_of(v2, path) == [vector_store]
    assert files_in(v2, vector_store) == [one, two, three]
    run = {"assistant_id": v2.assistant(tools=[SEARCH]), "additional_messages": [with_file(four)]}
    v2.post(f"{path}/runs", run)
    assert files_in(v2, vector_store) == [one, two, three, four]


def test_they_join_the_store_that_the_thread_has(v2: Api) -> None:
    one, two, three = file(v2), file(v2), file(v2)
    there = new_store(v2, one)
    made = v2.post("/threads", {"tool_resources": naming(there), "messages": [with_file(two)]})
    assert made["tool_resources"] == naming(there)
    v2.post(f"/threads/{made['id']}/messages", with_file(three))
    assert files_in(v2, there) == [one, two, three]
    helper = {"file_search": {"vector_stores": [{"file_ids": [one]}]}}
    made = v2.post("/threads", {"tool_resources": helper, "messages": [with_file(two)]})
    assert files_in(v2, made["tool_resources"]["file_search"]["vector_store_ids"][0]) == [one, two]


def test_a_file_that_cannot_be_searched_is_refused(v2: Api) -> None:
    table, picture = file(v2, "a.CSV"), file(v2, "a.png")
    thread = v2.thread()
    for path, body in (
        (f"/threads/{thread}/messages", with_file(table)),
        ("/threads", {"messages": [with_file(table)]}),
    ):
        assert v2.refused("POST", path, body) == {
            "message": "Files with extensions [.csv] are not supported for retrieval. See "
            "https://platform.openai.com/docs/assistants/tools/file-search/supported-files",
            "type": "invalid_request_error",
            "param": "file_ids",
            "code": "unsupported_file",
        }
    message = with_file(table)
    message["attachments"] += with_file(picture)["attachments"]
    assert "[.csv, .png]" in v2.refused("POST", f"/threads/{thread}/messages", message)["message"]
    v2.post(f"/threads/{thread}/messages", with_file(table, CODE))


def test_a_run_works_on_both_stores_but_does_not_show_them(
    v2: Api, v1: Api, mongo_url: str, database: str
) -> None:
    one, two = new_store(v2), new_store(v2)
    assistant = v2.assistant(tools=[CODE, SEARCH], tool_resources=naming(one))
    message = {"messages": [{"role": "user", "content": "x"}], "tool_resources": naming(two)}
    for path, body in (
        (f"/threads/{v2.post('/threads', message)['id']}/runs", {}),
        ("/threads/runs", {"thread": {"messages": message["messages"]}, "tool_resources": naming(two)}),
    ):
        run = v2.post(path, {"assistant_id": assistant, **body})
        assert run["tool_resources"] == for_code(), "as recorded"
        assert v1.get(f"/threads/{run['thread_id']}/runs/{run['id']}")["file_ids"] == []
        assert stores_of(v2, f"/threads/{run['thread_id']}") == [two]
        settings = settings_of(mongo_url, database, run["id"])
        assert settings["file_search"] == {"vector_store_ids": [one, two]}


def settings_of(mongo_url: str, database: str, run_id: str) -> Json:
    async def read() -> Json:
        worker = Worker(mongo_url, database)
        try:
            return dict((await worker.get(run_id)).settings.tool_resources)
        finally:
            worker.close()

    return asyncio.run(read())


def test_the_store_of_a_thread_goes_with_it(v2: Api) -> None:
    one = file(v2)
    thread = v2.post("/threads", {"messages": [with_file(one)]})["id"]
    [made] = stores_of(v2, f"/threads/{thread}")
    v2.delete(f"/threads/{thread}")
    v2.refused("GET", f"/vector_stores/{made}", status=404)
    assert v2.get(f"/files/{one}")["id"] == one

    thread = v2.post("/threads", {"messages": [with_file(one)]})["id"]
    [shared] = stores_of(v2, f"/threads/{thread}")
    v2.assistant(tool_resources=naming(shared))
    named = new_store(v2, one)
    other = v2.post("/threads", {"tool_resources": naming(named)})["id"]
    for each in (thread, other):
        v2.delete(f"/threads/{each}")
    assert files_in(v2, shared) == [one], "somebody else names it"
    assert files_in(v2, named) == [one], "it was not made for the thread"


def test_a_deleted_store_of_a_thread_is_made_anew(v2: Api) -> None:
    one, two = file(v2), file(v2)
    thread = v2.post("/threads", {"messages": [with_file(one)]})["id"]
    [made] = stores_of(v2, f"/threads/{thread}")
    v2.delete(f"/vector_stores/{made}")
    assert stores_of(v2, f"/threads/{thread}") == []
    v2.post(f"/threads/{thread}/messages", with_file(two))
    [anew] = stores_of(v2, f"/threads/{thread}")
    assert anew != made
    assert files_in(v2, anew) == [two]


def test_the_files_of_a_v1_assistant_are_kept_in_a_store(v1: Api, v2: Api) -> None:
    one, two, three = file(v1), file(v1), file(v1)
    assistant = assistant_v1(v1, one, two, tool="retrieval")
    path = f"/assistants/{assistant}"
    [made] = stores_of(v2, path)
    assert files_in(v2, made) == [one, two]
    assert v2.get(f"/vector_stores/{made}")["expires_after"] is None
    assert v2.get(path)["tools"][0]["type"] == "file_search"

    v1.post(f"{path}/files", {"file_id": three})
    assert files_in(v2, made) == [one, two, three]
    v1.delete(f"{path}/files/{one}")
    assert files_in(v2, made) == [two, three]
    assert sorted(v1.post(path, {"file_ids": [one, three]})["file_ids"]) == sorted([one, three])
    assert files_in(v2, made) == [three, one]
    v1.post(path, {"tools": [{"type": "code_interpreter"}]})
    assert files_in(v2, made) == []
    v1.post(path, {"tools": [{"type": "retrieval"}]})
    assert stores_of(v2, path) == [made]
    assert sorted(files_in(v2, made)) == sorted([one, three])
    v2.delete(f"/files/{one}")
    assert (v1.get(path)["file_ids"], files_in(v2, made)) == ([three], [three])
    v1.delete(path)
    v2.refused("GET", f"/vector_stores/{made}", status=404)


def test_what_v2_does_to_a_store_is_not_seen_in_v1(v1: Api, v2: Api) -> None:
    one, two, three = file(v2), file(v2), file(v2)
    there = new_store(v2, one)
    assistant = v2.assistant(tools=[SEARCH], tool_resources=naming(there))
    path = f"/assistants/{assistant}"
    assert v1.get(path)["file_ids"] == []
    assert v1.get(path)["tools"] == [{"type": "retrieval"}]
    assert v1.post(path, {"file_ids": [two]})["file_ids"] == [two]
    assert stores_of(v2, path) == [there]
    assert files_in(v2, there) == [one, two]
    v2.post(f"/vector_stores/{there}/files", {"file_id": three})
    v2.delete(f"/vector_stores/{there}/files/{two}")
    assert v1.get(path)["file_ids"] == [two]
    v1.post(path, {"file_ids": []})
    assert files_in(v2, there) == [one, three]
    v1.delete(path)
    assert files_in(v2, there) == [one, three], "it was not made for the assistant"


def test_a_v1_assistant_whose_store_was_deleted_gets_another(v1: Api, v2: Api) -> None:
    one, two = file(v1), file(v1)
    path = f"/assistants/{assistant_v1(v1, one, tool='retrieval')}"
    v2.delete(f"/vector_stores/{stores_of(v2, path)[0]}")
    v1.post(f"{path}/files", {"file_id": two})
    [anew] = stores_of(v2, path)
    assert files_in(v2, anew) == [one, two]


def test_retrieval_reads_no_tables(v1: Api) -> None:
    table, text = file(v1, "a.csv"), file(v1)
    body = {"model": "m", "tools": [{"type": "retrieval"}], "file_ids": [text, table]}
    error = v1.refused("POST", "/assistants", body)
    assert (error["param"], error["code"]) == ("file_ids", "unsupported_file")
    path = f"/assistants/{assistant_v1(v1, text, tool='retrieval')}"
    assert v1.refused("POST", f"{path}/files", {"file_id": table})["code"] == "unsupported_file"
    assert v1.get(path)["file_ids"] == [text]
    path = f"/assistants/{assistant_v1(v1, table)}"
    assert v1.refused("POST", path, {"tools": [{"type": "retrieval"}]})["code"] == "unsupported_file"


def test_a_v1_message_may_bring_a_table_for_the_code(v1: Api, v2: Api) -> None:
    table, text = file(v1, "a.csv"), file(v1)
    thread = v1.post("/threads")["id"]
    v1.post(f"/threads/{thread}/messages", {"role": "user", "content": "x", "file_ids": [table]})
    assert v2.get(f"/threads/{thread}")["tool_resources"] == for_code(table)
    v1.post(f"/threads/{thread}/messages", {"role": "user", "content": "x", "file_ids": [table, text]})
    [made] = stores_of(v2, f"/threads/{thread}")
    assert files_in(v2, made) == [text]
    assert v1.get(f"/threads/{thread}").keys() == {"id", "object", "created_at", "metadata"}
