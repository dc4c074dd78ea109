"""Faults of the list (FAULTS.md) that come from models and from clients."""

import asyncio
import time

import httpx
import pytest

from tests.chaos import walks
from tests.chaos.about_runs import ENDS
from tests.chaos.history import History, Json, Op
from tests.chaos.lab import Lab
from tests.chaos.walks import CODE, F, Walker
from tests.chaos.work import AtWork

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def test_an_output_too_large_for_a_record_is_cut(lab: Lab, working: AtWork) -> None:
    async def print_much(walker: Walker) -> None:
        thread_id, assistant_id = await walker.begin("chaos-much", CODE)
        run = await walker.turn(thread_id, assistant_id)
        async with lab.db() as db:
            stored = await db["runs"].find_one({"_id": run.run_id})
        assert stored is not None
        assert stored["status"] == "completed"
        assert len(str(stored)) < 1 << 20

    async with working() as work:
        await work.take(print_much)


async def test_many_want_to_run_one_thread(lab: Lab, working: AtWork) -> None:
    answers: list[int] = []

    async def crowd(walker: Walker) -> None:
        thread_id, assistant_id = await walker.begin("slow-150")
        runs = await asyncio.gather(*(walker.client.run(thread_id, assistant_id) for _ in range(50)))
        answers.extend(run.status for run in runs)
        for run in runs:
            if run.done:
                await walker.client.end_of(thread_id, run.run_id)

    async with working() as work:
        await work.take(crowd)
    assert sorted(answers) == [200] + [400] * 49


FAULTS_OF_MODELS = {
    "fault-429x1": "completed",
    "fault-429-1x1": "completed",  # with a retry-after
    "fault-500x2": "completed",
    "fault-503": "failed",
    "fault-429": "failed",
    "fault-hangx1": "completed",
    "fault-cut-3x1": "completed",
    "fault-cut-0": "failed",
    "fault-utf8": "completed",
    "fault-badssex1": "completed",
    "fault-emptyx1": "completed",
    "fault-nousage": "completed",
    "fault-length": "incomplete",
    "fault-filter": "incomplete",
    "slow-60": "completed",
}


async def test_the_model_is_not_well(lab: Lab, working: AtWork) -> None:
    """All at once; each run ends as it should."""
    ends: dict[str, str] = {}

    def ask(model: str) -> walks.Walk:
        async def walk(walker: Walker) -> None:
            run = await walker.turn(*await walker.begin(model))
            ends[model] = walker.client.status_of(run.run_id)

        return walk

    async with working() as work:
        await asyncio.gather(*(work.take(ask(model)) for model in FAULTS_OF_MODELS))
    assert ends == FAULTS_OF_MODELS


async def test_the_model_refuses_connections(lab: Lab, working: AtWork) -> None:
    async def refuse() -> None:
        await lab.proxies["model"].go_away()
        await asyncio.sleep(1.5)
        lab.proxies["model"].heal()

    async with working() as work:
        await work.strike(refuse())


async def test_the_model_calls_tools_wrongly_or_without_end(lab: Lab, working: AtWork) -> None:
    ends: dict[str, str] = {}

    def ask(model: str, tool: Json, *, cancels: bool = False) -> walks.Walk:
        async def walk(walker: Walker) -> None:
            thread_id, assistant_id = await walker.begin(model, tool)
            run = await walker.client.run(thread_id, assistant_id)
            path = f"/threads/{thread_id}/runs/{run.run_id}"
            if cancels:
                await asyncio.sleep(4)
                op = Op("cancel", time.time(), thread_id=thread_id, run_id=run.run_id)
                await walker.client.ask(op, "POST", f"{path}/cancel")
            now = await walker.client.watch(
                thread_id, run.run_id, until=lambda status: status in (*ENDS, "requires_action")
            )
            if now["status"] == "requires_action":
                calls = now["required_action"]["submit_tool_outputs"]["tool_calls"]
                ends[f"{model} calls"] = str(len(calls))
                outputs = [{"tool_call_id": each["id"], "output": f"out-{each['id']}"} for each in calls]
                ids = {"thread_id": thread_id, "run_id": run.run_id}
                await walker.client.post(
                    "submit", f"{path}/submit_tool_outputs", {"tool_outputs": outputs}, **ids
                )
            await walker.client.end_of(thread_id, run.run_id)
            ends[model] = walker.client.status_of(run.run_id)

        return walk

    async with working() as work:
        await asyncio.gather(
            work.take(ask("fault-badargs", F)),
            work.take(ask("fault-calls-200", F)),
            work.take(ask("fault-calls-20", CODE)),
            work.take(ask("fault-loop", CODE, cancels=True)),
        )
    wanted = {"fault-badargs": "failed", "fault-calls-200": "completed", "fault-calls-200 calls": "200"}
    assert ends == {**wanted, "fault-calls-20": "completed", "fault-loop": "cancelled"}


async def test_cancellations_race_with_the_end(lab: Lab, working: AtWork) -> None:
    async def race(walker: Walker) -> None:
        thread_id, assistant_id = await walker.begin("echo")
        run = await walker.client.run(thread_id, assistant_id)
        await asyncio.sleep(walker.chance.uniform(0.0, 0.3))
        path = f"/threads/{thread_id}/runs/{run.run_id}/cancel"
        await walker.client.post("cancel", path, thread_id=thread_id, run_id=run.run_id)
        await walker.client.end_of(thread_id, run.run_id)

    async with working() as work:
        for _ in range(10):
            await asyncio.gather(*(work.take(race) for _ in range(8)))


async def test_outputs_are_submitted_wrongly(lab: Lab, working: AtWork) -> None:
    answers: list[int] = []

    async def submit(walker: Walker) -> None:
        client = walker.client
        thread_id, assistant_id = await walker.begin("tool-functions", F, walks.G)
        run = await client.run(thread_id, assistant_id)
        path = f"/threads/{thread_id}/runs/{run.run_id}/submit_tool_outputs"
        ids = {"thread_id": thread_id, "run_id": run.run_id}
        now = await client.watch(thread_id, run.run_id, until=lambda status: status == "requires_action")
        calls = [each["id"] for each in now["required_action"]["submit_tool_outputs"]["tool_calls"]]
        right = [{"tool_call_id": each, "output": f"out-{each}"} for each in calls]
        wrong = [right[:1], [{"tool_call_id": "call_of_nobody", "output": "x"}, right[0]], [*right, right[0]]]
        refused = [await client.post("submit", path, {"tool_outputs": outputs}, **ids) for outputs in wrong]
        answers.extend(op.status for op in refused)
        both = [client.post("submit", path, {"tool_outputs": right}, **ids) for _ in range(2)]
        answers.append(sum(op.status == 200 for op in await asyncio.gather(*both)))
        await client.end_of(thread_id, run.run_id)
        answers.append((await client.post("submit", path, {"tool_outputs": right}, **ids)).status)

    async with working() as work:
        await work.take(submit)
    assert answers == [400, 400, 400, 1, 400]


async def test_threads_are_deleted_under_their_runs(lab: Lab, working: AtWork) -> None:
    async with working() as work:
        await asyncio.gather(*(work.take(walks.deleted) for _ in range(10)))


async def test_strangers_see_nothing(lab: Lab, working: AtWork) -> None:
    async with working() as work:
        await asyncio.gather(*(work.take(walks.spied_upon) for _ in range(3)))


async def test_everything_is_quiet_again(lab: Lab, working: AtWork) -> None:
    """No work at all: what is left of the faults before goes by itself."""
    async with working() as work:
        await work.finish()
    history: History = await work.history()
    assert not any(history.lag.values())
    async with httpx.AsyncClient() as client:
        ready = await client.get(lab.stack.base_url.removesuffix("/v1") + "/readyz")
    assert ready.status_code == 200
