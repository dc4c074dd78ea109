"""The demo model as a process, driven by the official client."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

EQUATION: Any = [
    {"role": "system", "content": "Please address the user as Jane Doe."},
    {"role": "user", "content": [{"type": "text", "text": "Solve `3x + 11 = 14`"}]},
]
CODE: Any = {
    "type": "function",
    "function": {
        "name": "code_interpreter",
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    },
}


def start_demo_model(*options: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start it on a free port and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "deploy.local.demo_model", "--port", str(port), *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{url}/livez").raise_for_status()
        except httpx.TransportError:
            assert process.poll() is None, "the demo model ended"
            assert time.monotonic() < deadline, "the demo model does not answer"
            time.sleep(0.05)
        else:
            return process, f"{url}/v1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process, url = start_demo_model()
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


def test_completes_in_two_turns(client: OpenAI) -> None:
    first = client.chat.completions.create(model="gpt-4-1106-preview", messages=EQUATION, tools=[CODE])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content is not None
    assert "Jane Doe" in message.content
    assert message.tool_calls is not None
    assert first.usage is not None
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    output: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "x = 1\n"}
    history: Any = [*EQUATION, message.model_dump(exclude_none=True), output]
    last = client.chat.completions.create(model="gpt-4-1106-preview", messages=history, tools=[CODE])
    assert last.choices[0].message.content == "Jane Doe, the solution of `3x + 11 = 14` is x = 1."
    assert last.choices[0].finish_reason == "stop"


def test_streams_what_it_would_complete(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="m", messages=EQUATION, tools=[CODE])
    with client.chat.completions.create(
        model="m", messages=EQUATION, tools=[CODE], stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    expected = whole.choices[0].message
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    parts = [part for choice in choices for part in choice.delta.tool_calls or ()]
    assert choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in choices) == expected.content
    assert expected.tool_calls is not None
    wanted = expected.tool_calls[0]
    assert wanted.type == "function"
    assert (parts[0].id, parts[0].index, parts[0].type) == (wanted.id, 0, "function")
    assert all(part.id is None and part.index == 0 for part in parts[1:])
    arguments = "".join(part.function.arguments or "" for part in parts if part.function)
    assert arguments == wanted.function.arguments
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["tool_calls"]
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks} | {whole.id}) == 1


def test_streams_no_usage_unless_asked(client: OpenAI) -> None:
    with client.chat.completions.create(model="m", messages=EQUATION, stream=True, max_tokens=4) as stream:
        chunks = list(stream)
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_lists_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["threadmill-demo"]
    assert client.models.retrieve("gpt-4-1106-preview").id == "gpt-4-1106-preview"


def test_errors_have_the_shape_of_the_api(client: OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[])
    assert caught.value.param == "messages"
    assert caught.value.type == "invalid_request_error"
    unknown = httpx.get(f"{url}/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "Invalid URL (GET /v1/nothing)"
    assert httpx.post(f"{url}/chat/completions", content=b"{").status_code == 400


def test_delays_chunks_and_ends_open_streams_on_sigterm() -> None:
    process, url = start_demo_model("--chunk-delay-ms", "200")
    body = {"model": "m", "messages": EQUATION, "stream": True}
    began = time.monotonic()
    with httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=30) as response:
        lines = (line for line in response.iter_lines() if line)
        first = [next(lines) for _ in range(3)]
        assert time.monotonic() - began >= 0.4
        assert all(line.startswith("data: {") for line in first)
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
