"""A file goes into the Code Interpreter, a picture and a file come out: with the official SDK, and as v1."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from openai.types.beta.threads import Message, TextContentBlock
from openai.types.beta.threads.runs import CodeInterpreterToolCall, ToolCallsStepDetails

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api

CSV = b"city,rain\nOslo,763\nRome,799\n"
ASK = """Please run this:

```python
import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv("rain.csv")
table.plot.bar(x="city", y="rain")
plt.show()
table.assign(rain=table.rain * 2).to_csv("out.csv", index=False)
print("[twice the rain](sandbox:/mnt/data/out.csv)")
```
"""
LINK = "sandbox:/mnt/data/out.csv"
TWICE = b"city,rain\nOslo,1526\nRome,1598\n"
CODE = {"type": "code_interpreter"}


@pytest.fixture
def client(threadmill: BackgroundStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=threadmill.base_url, api_key=threadmill.api_key) as client:
        yield client


@pytest.fixture
def rain(client: OpenAI) -> str:
    return client.files.create(file=("rain.csv", CSV), purpose="assistants").id


def assistant(client: OpenAI, *files: str) -> str:
    return client.beta.assistants.create(
        model="gpt-4-1106-preview",
        tools=[{"type": "code_interpreter"}],
        tool_resources={"code_interpreter": {"file_ids": list(files)}},
    ).id


def is_picture(content: bytes) -> bool:
    """A PNG of some size."""
    width, height = struct.unpack(">II", content[16:24])
    return content.startswith(b"\x89PNG\r\n\x1a\n") and width > 100 and height > 100


def test_a_picture_and_a_file_come_out(client: OpenAI, rain: str, tmp_path: Path) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": ASK}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant(client, rain), timeout=60
    )
    assert run.status == "completed", run.last_error
    message = client.beta.threads.messages.list(thread.id).data[0]
    picture, text = message.content
    assert picture.type == "image_file"
    content = client.files.content(picture.image_file.file_id).content
    (tmp_path / "picture.png").write_bytes(content)
    assert is_picture(content)
    assert isinstance(text, TextContentBlock)
    (link,) = text.text.annotations
    assert link.type == "file_path"
    assert link.text == text.text.value[link.start_index : link.end_index] == LINK
    made = client.files.retrieve(link.file_path.file_id)
    assert (made.filename, made.purpose) == ("out.csv", "assistants_output")
    assert client.files.content(made.id).content == TWICE
    assert [each.file_id for each in message.attachments or ()] == [made.id]
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc").data
    (details,) = (s.step_details for s in steps if isinstance(s.step_details, ToolCallsStepDetails))
    (call,) = details.tool_calls
    assert isinstance(call, CodeInterpreterToolCall)
    logs, image = call.code_interpreter.outputs
    assert logs.type == "logs"
    assert image.type == "image"
    assert image.image.file_id == picture.image_file.file_id


def test_a_stream_adds_up_to_the_message(client: OpenAI, rain: str) -> None:
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": ASK,
                "attachments": [{"file_id": rain, "tools": [{"type": "code_interpreter"}]}],
            }
        ]
    )
    deltas = []
    completed: list[Message] = []
    with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant(client)) as stream:
        for event in stream:
            if event.event == "thread.message.delta":
                deltas.append(event.data)
            elif event.event == "thread.message.completed":
                completed.append(event.data)
        added_up = stream.get_final_messages()
    last = completed[-1]
    parts = [part for delta in deltas if delta.id == last.id for part in delta.delta.content or ()]
    assert [(part.index, part.type) for part in parts[:2]] == [(0, "image_file"), (1, "text")]
    assert {(part.index, part.type) for part in parts[1:]} == {(1, "text")}
    assert last.content == client.beta.threads.messages.retrieve(last.id, thread_id=thread.id).content
    assert [part.type for part in last.content] == ["image_file", "text"]
    assert [part.type for part in added_up[-1].content] == ["image_file", "text"]
    values = [part.text.value for part in parts if part.type == "text" and part.text]
    text = last.content[1]
    assert isinstance(text, TextContentBlock)
    assert "".join(value or "" for value in values) == text.text.value


async def test_v1_lists_the_files_of_a_message(threadmill: BackgroundStack, rain: str) -> None:
    with Api(threadmill.base_url, threadmill.api_key, version="v1") as api:
        made = api.assistant(tools=[CODE], file_ids=[rain])
        run = api.run(api.thread(ASK), made)
        await api.completes(run)
        message = api.messages(run)[-1]
        picture, text = message["content"]
        assert picture["type"] == "image_file"
        (link,) = text["text"]["annotations"]
        assert message["file_ids"] == [link["file_path"]["file_id"]]
        path = f"/threads/{run['thread_id']}/messages/{message['id']}/files"
        assert [file["id"] for file in api.get(path)["data"]] == message["file_ids"]
