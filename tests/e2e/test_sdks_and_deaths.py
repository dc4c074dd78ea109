"""What the SDKs' own accumulators make of a message whose writer dies: a draft that ends, and a message."""

import asyncio
import json
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json, text_of
from tests.e2e.sdks import SDKS, Sdk
from tests.eventually import eventually
from tests.model_script import Gate, Reply, say
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(600)  # the first use of an SDK installs it

NEWEST = [sdk for sdk in SDKS if sdk.name in ("python-3.54.0", "node-7.57.0")]
PATIENCE_S = 240.0

PYTHON = """
import json
from openai import OpenAI

client = OpenAI()
assistant = client.beta.assistants.create(model=%r)
thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hello"}])
with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
    stream.until_done()
    messages = stream.get_final_messages()
    run = stream.get_final_run()
found = [[message.status, "".join(part.text.value for part in message.content)] for message in messages]
print(json.dumps({"thread": thread.id, "run": run.status, "messages": found}))
"""
NODE = """
import OpenAI from "openai";

const openai = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const assistant = await openai.beta.assistants.create({ model: %s });
const thread = await openai.beta.threads.create({ messages: [{ role: "user", content: "Hello" }] });
const stream = openai.beta.threads.runs.stream(thread.id, { assistant_id: assistant.id });
const messages = await stream.finalMessages();
const run = await stream.finalRun();
const text = (message) => message.content.map((part) => part.text.value).join("");
const found = messages.map((message) => [message.status, text(message)]);
console.log(JSON.stringify({ thread: thread.id, run: run.status, messages: found }));
"""


@pytest.mark.parametrize("sdk", NEWEST, ids=lambda sdk: sdk.name)
async def test_the_orchestrator_dies_in_the_middle_of_a_message(
    sdk: Sdk, scripted: BackgroundStack, model: ModelServer, tmp_path: Path
) -> None:
    name, gate = f"model-{uuid4().hex[:8]}", Gate()
    cut = Reply(deltas=("first ", "second ", "third"), gate=gate, gate_before=2)
    model.script(cut, say("the whole ", "answer"), model=name)
    script = tmp_path / f"script{sdk.suffix}"
    script.write_text(PYTHON % name if sdk.language == "python" else NODE % json.dumps(name))
    (scratch := tmp_path / "scratch").mkdir()
    with Api(scripted.base_url, scripted.api_key) as api:
        running = asyncio.create_task(asyncio.to_thread(run, sdk, script, scratch, scripted))
        await gate.reached(within_s=PATIENCE_S)
        await eventually(lambda: _draft(api), within_s=60)
        scripted.kill("run_orchestrator")
        scripted.start("run_orchestrator")
        gate.open()
        ended = await running
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        seen = json.loads(ended.stdout)
        assert seen["run"] == "completed"
        draft, message = seen["messages"]
        assert draft[0] == "incomplete"
        assert "first second ".startswith(draft[1])
        assert message == ["completed", "the whole answer"]
        stored = api.get(f"/threads/{seen['thread']}/messages", order="asc")["data"]
        assert [(each["role"], text_of(each)) for each in stored] == [
            ("user", "Hello"),
            ("assistant", "the whole answer"),
        ]


def run(sdk: Sdk, script: Path, scratch: Path, server: BackgroundStack) -> subprocess.CompletedProcess[str]:
    return sdk.run(script, scratch, base_url=server.base_url, api_key=server.api_key, timeout_s=PATIENCE_S)


async def _draft(api: Api) -> Json | None:
    """The newest run's message, once it is begun."""
    thread = api.get("/threads", limit=1)["data"][0]["id"]
    for run in api.get(f"/threads/{thread}/runs")["data"]:
        steps: list[Json] = api.get(f"/threads/{thread}/runs/{run['id']}/steps")["data"]
        return steps[0] if steps else None
    return None
