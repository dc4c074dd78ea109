"""Every example, unmodified, under every SDK that can run it, against the whole server."""

from pathlib import Path
from typing import Protocol

import pytest
from openai import OpenAI

from tests.e2e.api import within
from tests.e2e.sdks import SDKS, Sdk

pytestmark = pytest.mark.timeout(400)  # the first use of an SDK installs it

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STREAMING = [sdk for sdk in SDKS if sdk.has_streams]
PYTHON = [sdk for sdk in SDKS if sdk.language == "python"]


class Threadmill(Protocol):
    """What the fixture of this name offers."""

    @property
    def base_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...


@pytest.fixture(scope="module")
def searchable(threadmill: Threadmill) -> None:
    """A worker that has just started may need longer for its first file than a run waits."""
    with OpenAI(base_url=threadmill.base_url, api_key=threadmill.api_key) as client:
        file = client.files.create(file=("first.txt", b"The first file."), purpose="assistants")
        store = client.vector_stores.create(file_ids=[file.id]).id
        assert within(120, lambda: client.vector_stores.retrieve(store).status == "completed")


def output_of(example: str, sdk: Sdk, server: Threadmill, scratch: Path) -> str:
    script = EXAMPLES / f"{example}{sdk.suffix}"
    ended = sdk.run(script, scratch, base_url=server.base_url, api_key=server.api_key)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def lines_after(prefix: str, output: str) -> list[str]:
    return [line.removeprefix(prefix) for line in output.splitlines() if line.startswith(prefix)]


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
def test_math_tutor(sdk: Sdk, threadmill: Threadmill, tmp_path: Path) -> None:
    output = output_of("math_tutor", sdk, threadmill, tmp_path)
    (listed,) = lines_after("message: ", output)
    assert "I need to solve the equation `3x + 11 = 14`. Can you help me?" in listed
    assert lines_after("run: ", output) == ["queued", "completed"]
    first, last = lines_after("assistant: ", output)
    assert "Jane Doe" in first
    assert "Jane Doe" in last
    assert "x = 1" in last
    assert lines_after("step: ", output) == ["message_creation", "tool_calls", "message_creation"]
    assert len(lines_after("input: ", output)) == 1
    assert lines_after("logs: ", output) == ["x = 1"]


@pytest.mark.parametrize("sdk", STREAMING, ids=lambda sdk: sdk.name)
def test_streaming(sdk: Sdk, threadmill: Threadmill, tmp_path: Path) -> None:
    output = output_of("streaming", sdk, threadmill, tmp_path)
    before, after = output.split("logs: x = 1")
    assert "Jane Doe" in before
    assert "print(" in before
    assert "Jane Doe" in after
    assert "x = 1" in after
    assert output.splitlines()[-1] == "run: completed"


@pytest.mark.parametrize("sdk", PYTHON, ids=lambda sdk: sdk.name)
def test_function_calling(sdk: Sdk, threadmill: Threadmill, tmp_path: Path) -> None:
    output = output_of("function_calling", sdk, threadmill, tmp_path)
    (calls,) = lines_after("calls: ", output)  # both in one stop of the run
    assert calls.count("get_weather") == 2
    assert lines_after("run: ", output) == ["completed"]
    _, _, answer = output.partition("assistant: ")  # a line for each call
    assert "18 degrees, rain" in answer
    assert "15 degrees, fog" in answer


@pytest.mark.parametrize("sdk", [sdk for sdk in SDKS if sdk.beta == "v2"], ids=lambda sdk: sdk.name)
def test_file_search(sdk: Sdk, threadmill: Threadmill, searchable: None, tmp_path: Path) -> None:
    output = output_of("file_search", sdk, threadmill, tmp_path)
    assert lines_after("run: ", output) == ["completed"]
    (found,) = lines_after("result: ", output)
    assert found.startswith("terms.md")
    (answer,) = lines_after("assistant: ", output)
    assert "A lost key costs 25 euros." in answer
    assert "[1]" in answer
    assert "【" not in answer
    assert output.splitlines()[-1] == "[1] terms.md"
