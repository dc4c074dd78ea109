"""What the model is told of a user's files: images as they are, others by name."""

import base64
from collections.abc import Iterator
from uuid import uuid4

import pytest
from openai import OpenAI

from deploy.local.background import BackgroundStack
from tests.model_script import say
from tests.model_server import ModelServer

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def client(scripted: BackgroundStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:
        yield client


def test_an_image_of_the_user_and_the_names_of_files_reach_the_model(
    client: OpenAI, model: ModelServer
) -> None:
    name = f"m-{uuid4().hex[:8]}"
    model.script(say("A dot."), model=name)
    picture = client.files.create(file=("dot.png", PNG), purpose="vision").id
    table = client.files.create(file=("rain.csv", b"x"), purpose="assistants").id
    assistant = client.beta.assistants.create(
        model=name,
        instructions="Be brief.",
        tools=[{"type": "code_interpreter"}],
        tool_resources={"code_interpreter": {"file_ids": [table]}},
    )
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_file", "image_file": {"file_id": picture}},
                ],
            }
        ]
    )
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, timeout=60)
    assert run.status == "completed", run.last_error
    (request,) = [each for each in model.requests if each.model == name]
    told, asked = request.body["messages"]
    assert told["content"].startswith("Be brief.\n\n")
    assert f"/mnt/data/rain.csv (also /mnt/data/{table})" in told["content"]
    text, image = asked["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
