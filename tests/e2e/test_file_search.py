"""Files are searched by runs and cited in answers: with the official SDK, and as v1."""

from collections.abc import Iterator
from typing import Any, Literal
from uuid import uuid4

import pytest
from openai import OpenAI
from openai.types.beta.threads import FileCitationAnnotation, Message, TextContentBlock
from openai.types.beta.threads.runs import FileSearchToolCall, ToolCallsStepDetails

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json, within
from tests.model_script import call, say, search
from tests.model_server import ModelServer

SKY = b"# The sky\n\nOn a clear day the sky is blue, since short waves of light are scattered most.\n"
SEA = b"# The sea\n\nThe deepest place of the sea is the Challenger Deep, 10,935 metres down.\n"
CONTENT: Literal["step_details.tool_calls[*].file_search.results[*].content"] = (
    "step_details.tool_calls[*].file_search.results[*].content"
)
READY_WITHIN_S = 120.0  # a worker that starts builds its embedder first

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def client(scripted: BackgroundStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key, timeout=90) as client:
        yield client


@pytest.fixture
def files(client: OpenAI) -> list[str]:
    made = (("sky.md", SKY), ("sea.md", SEA))
    return [client.files.create(file=file, purpose="assistants").id for file in made]


@pytest.fixture
def store(client: OpenAI, files: list[str]) -> str:
    """With the first file in it, ready to be searched."""
    made = client.vector_stores.create(file_ids=files[:1])
    assert within(READY_WITHIN_S, lambda: client.vector_stores.retrieve(made.id).status == "completed")
    assert client.vector_stores.retrieve(made.id).file_counts.completed == 1
    return made.id


def new_model(model: ModelServer, *replies: Any) -> str:
    name = f"m-{uuid4().hex[:8]}"
    model.script(*replies, model=name)
    return name


def assistant(client: OpenAI, model: str, *stores: str) -> str:
    return client.beta.assistants.create(
        model=model,
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": list(stores)}} if stores else {},
    ).id


def cited(message: Message) -> list[FileCitationAnnotation]:
    """The citations of its text, each at its place."""
    (part,) = message.content
    assert isinstance(part, TextContentBlock)
    found = []
    for each in part.text.annotations:
        assert isinstance(each, FileCitationAnnotation)
        assert part.text.value[each.start_index : each.end_index] == each.text
        found.append(each)
    return found


def test_a_stream_with_citations_adds_up_to_the_message(
    client: OpenAI, model: ModelServer, store: str, files: list[str]
) -> None:
    answer = ("🌊 Blue【2:", "0†sky.md】, they say【2:9†no.md】. 【注意】【", "2:0†source】 Really.")
    name = new_model(model, call(search("Why is the sky blue?")), say(*answer))
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Why is the sky blue?"}])
    streamed: list[Any] = []
    completed: list[Message] = []
    results: list[Any] = []
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant(client, name, store), include=[CONTENT]
    ) as stream:
        for event in stream:
            if event.event == "thread.message.delta":
                streamed += event.data.delta.content or ()
            elif event.event == "thread.message.completed":
                completed.append(event.data)
            elif event.event == "thread.run.step.completed" and event.data.type == "tool_calls":
                details = event.data.step_details
                assert isinstance(details, ToolCallsStepDetails)
                results += [call for call in details.tool_calls if isinstance(call, FileSearchToolCall)]
        (added_up,) = stream.get_final_messages()
        run = stream.get_final_run()
    assert run.status == "completed", run.last_error
    (searched,) = results
    best = searched.file_search.results[0]
    assert (best.file_id, best.file_name) == (files[0], "sky.md")
    assert "the sky is blue" in best.content[0].text
    value = "🌊 Blue【2:0†sky.md】, they say. 【注意】【2:0†source】 Really."
    (message,) = completed
    assert isinstance(message.content[0], TextContentBlock)
    assert message.content[0].text.value == value
    assert [each.file_citation.file_id for each in cited(message)] == [files[0]] * 2
    assert "".join(part.text.value for part in streamed) == value
    told = [each for part in streamed for each in part.text.annotations or ()]
    assert [(each.index, each.text) for each in told] == [(0, "【2:0†sky.md】"), (1, "【2:0†source】")]
    assert added_up.content[0].to_dict()["text"]["value"] == value  # type: ignore[index]
    stored = client.beta.threads.messages.retrieve(message.id, thread_id=thread.id)
    assert stored.content == message.content
    (request,) = [each.body for each in model.requests if each.model == name][1:]
    assert "the sky is blue" in request["messages"][-1]["content"]


def test_a_file_that_comes_with_a_message_is_waited_for(
    client: OpenAI, model: ModelServer, files: list[str]
) -> None:
    name = new_model(model, call(search("How deep is the sea?")), say("Deep【2:0†sea.md】."))
    attachments: Any = [{"file_id": files[1], "tools": [{"type": "file_search"}]}]
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "How deep?", "attachments": attachments}]
    )
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant(client, name), timeout=90
    )
    assert run.status == "completed", run.last_error
    (message, _) = client.beta.threads.messages.list(thread.id).data
    assert [each.file_citation.file_id for each in cited(message)] == [files[1]]
    steps = client.beta.threads.runs.steps
    without = steps.list(run.id, thread_id=thread.id, order="asc").data[0]
    with_content = steps.list(run.id, thread_id=thread.id, order="asc", include=[CONTENT]).data[0]
    for step, shown in ((without, None), (with_content, "Challenger Deep")):
        assert isinstance(step.step_details, ToolCallsStepDetails)
        (made,) = step.step_details.tool_calls
        assert isinstance(made, FileSearchToolCall)
        assert made.file_search.results
        (result,) = made.file_search.results
        assert result.file_name == "sea.md"
        assert (shown is None) == (result.content is None)
        if result.content and shown:
            assert shown in str(result.content[0].text)


async def test_v1_retrieves_and_cites_with_a_quote(
    scripted: BackgroundStack, model: ModelServer, files: list[str]
) -> None:
    name = new_model(model, call(search("Why is the sky blue?")), say("Blue【2:0†sky.md】."))
    with Api(scripted.base_url, scripted.api_key, version="v1") as api:
        made = api.assistant(name, tools=[{"type": "retrieval"}], file_ids=[files[0]])
        run = api.run(api.thread("Why is the sky blue?"), made)
        await api.completes(run, within_s=90)
        step, _ = api.steps(run)
        (retrieval,) = step["step_details"]["tool_calls"]
        assert retrieval == {"id": retrieval["id"], "type": "retrieval", "retrieval": {}}
        (message,) = api.messages(run)
        (citation,) = message["content"][0]["text"]["annotations"]
        source: Json = citation["file_citation"]
        assert source["file_id"] == files[0]
        assert source["quote"]
        assert source["quote"] in SKY.decode()
