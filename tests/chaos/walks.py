"""What clients do: one walk is one thread with a few runs, from its creation to the last run's end."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.chaos.about_runs import ENDS
from tests.chaos.client import Client
from tests.chaos.history import Json, Op

CODE: Json = {"type": "code_interpreter"}
F: Json = {"type": "function", "function": {"name": "f"}}
G: Json = {"type": "function", "function": {"name": "g"}}


@dataclass
class Walker:
    """Takes walks with one client. Assistants are made once, by model and tools."""

    client: Client
    stranger: Client  # with the key of another project
    chance: random.Random
    assistants: dict[str, str] = field(default_factory=dict)

    async def assistant(self, model: str, *tools: Json) -> str:
        name = f"{model} {tools}"
        if name not in self.assistants:
            self.assistants[name] = await self.client.assistant(model, tools=list(tools))
        return self.assistants[name]

    async def begin(self, model: str, *tools: Json, says: int = 1) -> tuple[str, str]:
        assistant_id = await self.assistant(model, *tools)
        thread_id = await self.client.thread()
        for _ in range(says):
            await self.client.say(thread_id)
        return thread_id, assistant_id

    async def turn(self, thread_id: str, assistant_id: str, **body: Any) -> Op:
        """One run from its creation to its end."""
        run = await self.client.run(thread_id, assistant_id, **body)
        if run.done:
            await self.client.end_of(thread_id, run.run_id)
        return run


async def plain(walker: Walker) -> None:
    thread_id, assistant_id = await walker.begin("echo", says=2)
    await walker.turn(thread_id, assistant_id)
    await walker.client.say(thread_id)
    await walker.turn(thread_id, assistant_id)


async def one_run(walker: Walker) -> None:
    thread_id, assistant_id = await walker.begin("echo")
    await walker.turn(thread_id, assistant_id)


async def streamed(walker: Walker, model: str = "slow-12") -> None:
    thread_id, assistant_id = await walker.begin(model)
    client = walker.client
    transcript = await client.stream(thread_id, f"/threads/{thread_id}/runs", {"assistant_id": assistant_id})
    if transcript is not None:
        await client.end_of(thread_id, transcript.run_id)


async def streamed_code(walker: Walker) -> None:
    thread_id = await walker.client.thread()
    assistant_id = await walker.assistant("chaos-code", CODE)
    for _ in range(2):
        await walker.client.say(thread_id)
        client, path = walker.client, f"/threads/{thread_id}/runs"
        transcript = await client.stream(thread_id, path, {"assistant_id": assistant_id})
        if transcript is None:
            return
        await client.end_of(thread_id, transcript.run_id)


async def with_code(walker: Walker) -> None:
    thread_id = await walker.client.thread()
    assistant_id = await walker.assistant(walker.chance.choice(["chaos-code", "chaos-codes"]), CODE)
    for _ in range(2):
        await walker.client.say(thread_id)
        await walker.turn(thread_id, assistant_id)


async def with_slow_code(walker: Walker) -> None:
    """Longer than the pause after which a tool call is asked for again."""
    await walker.turn(*await walker.begin("chaos-code-7", CODE))


async def with_functions(walker: Walker, model: str = "tool-functions", *tools: Json) -> None:
    client = walker.client
    thread_id, assistant_id = await walker.begin(model, *(tools or (F, G)))
    run = await client.run(thread_id, assistant_id)
    if not run.done:
        return
    now = await client.watch(thread_id, run.run_id, until=lambda status: status in (*ENDS, "requires_action"))
    if now["status"] == "requires_action":
        await submit(walker, thread_id, run.run_id, now)
    await client.end_of(thread_id, run.run_id)


async def with_both(walker: Walker) -> None:
    await with_functions(walker, "chaos-both", CODE, F)


async def submit(walker: Walker, thread_id: str, run_id: str, run: Json) -> None:
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    path, ids = (
        f"/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
        {"thread_id": thread_id, "run_id": run_id},
    )
    if walker.chance.random() < 0.3:
        wrong = {"tool_outputs": [{"tool_call_id": "call_of_nobody", "output": "x"}]}
        await walker.client.post("submit", path, wrong, **ids)
    outputs = [{"tool_call_id": each["id"], "output": f"out-{each['id']}"} for each in calls]
    await walker.client.post("submit", path, {"tool_outputs": outputs}, **ids)


async def unanswered(walker: Walker) -> None:
    """Nobody answers the function: it expires."""
    await walker.turn(*await walker.begin("tool-functions", F))


async def cancelled(walker: Walker) -> None:
    model, *tools = walker.chance.choice(
        [("slow-40",), ("chaos-code-3", CODE), ("tool-functions", F), ("echo",)]
    )
    thread_id, assistant_id = await walker.begin(
        str(model), *(tool for tool in tools if isinstance(tool, dict))
    )
    run = await walker.client.run(thread_id, assistant_id)
    if not run.done:
        return
    await asyncio.sleep(walker.chance.uniform(0.0, 1.2))
    path = f"/threads/{thread_id}/runs/{run.run_id}/cancel"
    await walker.client.post("cancel", path, thread_id=thread_id, run_id=run.run_id)
    await walker.client.end_of(thread_id, run.run_id)


async def cancelled_in_code(walker: Walker) -> None:
    client = walker.client
    thread_id, assistant_id = await walker.begin("chaos-code-20", CODE)
    run = await client.run(thread_id, assistant_id)
    if not run.done:
        return
    path = f"/threads/{thread_id}/runs/{run.run_id}"
    for _ in range(40):
        steps = (await client.get("steps", f"{path}/steps", thread_id=thread_id)).answer["data"]
        if any(step["type"] == "tool_calls" for step in steps):
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    await client.post("cancel", f"{path}/cancel", thread_id=thread_id, run_id=run.run_id)
    await client.end_of(thread_id, run.run_id)


async def deleted(walker: Walker) -> None:
    """The thread goes while its run is active."""
    thread_id, assistant_id = await walker.begin("slow-20")
    run = await walker.client.run(thread_id, assistant_id)
    await asyncio.sleep(walker.chance.uniform(0.0, 0.5))
    op = Op("delete", time.time(), thread_id=thread_id, run_id=run.run_id)
    await walker.client.ask(op, "DELETE", f"/threads/{thread_id}")


async def troubled(walker: Walker) -> None:
    """The model is not well."""
    faults = (
        "429x1",
        "500x1",
        "cut-2x1",
        "badssex1",
        "emptyx1",
        "hangx1",
        "length",
        "badargs",
        "nousage",
        "503",
    )
    model = f"fault-{walker.chance.choice(faults)}"
    await walker.turn(*await walker.begin(model, *([F] if "badargs" in model else [])))


async def crowded(walker: Walker) -> None:
    """Many want to run one thread at once."""
    thread_id, assistant_id = await walker.begin("slow-5")
    runs = await asyncio.gather(*(walker.client.run(thread_id, assistant_id) for _ in range(5)))
    for run in runs:
        if run.done:
            await walker.client.end_of(thread_id, run.run_id)


async def spied_upon(walker: Walker) -> None:
    """Somebody with another project's key tries to see it."""
    thread_id, assistant_id = await walker.begin("slow-5")
    run = await walker.client.run(thread_id, assistant_id)
    paths = [f"/threads/{thread_id}", f"/threads/{thread_id}/messages", f"/assistants/{assistant_id}"]
    if run.done:
        paths.append(f"/threads/{thread_id}/runs/{run.run_id}")
    for path in paths:
        op = Op("foreign", time.time(), asked={"path": path}, thread_id=thread_id, run_id=run.run_id)
        await walker.stranger.ask(op, "GET", path)
    if run.done:
        path = f"/threads/{thread_id}/runs/{run.run_id}/cancel"
        op = Op("foreign", time.time(), asked={"path": path}, thread_id=thread_id, run_id=run.run_id)
        await walker.stranger.ask(op, "POST", path)
        await walker.client.end_of(thread_id, run.run_id)


Walk: TypeAlias = Callable[[Walker], Awaitable[None]]

# How often each is taken, in comparison.
WALKS: dict[Walk, float] = {
    one_run: 8,
    plain: 4,
    streamed: 4,
    streamed_code: 2,
    with_code: 3,
    with_slow_code: 0.5,
    with_functions: 2,
    with_both: 1,
    cancelled: 3,
    deleted: 1,
    troubled: 2,
    crowded: 1,
    spied_upon: 1,
    unanswered: 0.3,
}
