"""Random walks through threads, messages and runs over HTTP, each step held against a small model of them.

Bounded and derandomized: the same walks each time. The runs are moved by a stand-in for the orchestrator.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.runs.model import Json
from tests.integration.running_gateway import V1, V2, Api, Worker, api

WALKS, STEPS = 10, 50
MOST_THREADS = 3  # at a time, so that much happens to each
ENDS = ("completed", "cancelled")
CANCELLABLE = ("queued", "in_progress", "requires_action")
ANY = strategies.integers(0, 1000)  # which of those that there are


@dataclass
class ARun:
    id: str
    path: str
    status: str = "queued"
    calls: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ENDS


@dataclass
class AThread:
    id: str
    texts: dict[str, str] = field(default_factory=dict)  # by message, in their order
    runs: list[ARun] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/threads/{self.id}"

    @property
    def active(self) -> ARun | None:
        return next((run for run in self.runs if not run.ended), None)


class Walk(RuleBasedStateMachine):
    client: Api
    worker: Worker
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[AThread] = []
        self.gone: list[str] = []
        self.numbers = count(1)

    def thread_of(self, number: int) -> AThread:
        return self.threads[number % len(self.threads)]

    def runs_in(self, *statuses: str) -> list[ARun]:
        runs = [run for thread in self.threads for run in thread.runs]
        return [run for run in runs if run.status in statuses or not statuses]

    def run_of(self, number: int, *statuses: str) -> ARun:
        runs = self.runs_in(*statuses)
        return runs[number % len(runs)]

    @initialize()
    def begin(self) -> None:
        self.assistant = self.client.assistant()
        self.make_thread()

    @precondition(lambda self: len(self.threads) < MOST_THREADS)
    @rule()
    def make_thread(self) -> None:
        self.threads.append(AThread(self.client.thread()))

    @rule(number=ANY, text=strategies.text(min_size=1, max_size=20).filter(str.strip))
    def say(self, number: int, text: str) -> None:
        thread, body = self.thread_of(number), {"role": "user", "content": text}
        if thread.active:
            self.client.refused("POST", f"{thread.path}/messages", body)
        else:
            made = self.client.post(f"{thread.path}/messages", body)
            thread.texts[made["id"]] = text

    @precondition(lambda self: any(thread.texts for thread in self.threads))
    @rule(number=ANY, which=ANY)
    def delete_message(self, number: int, which: int) -> None:
        talking = [thread for thread in self.threads if thread.texts]
        thread = talking[number % len(talking)]
        message = list(thread.texts)[which % len(thread.texts)]
        self.client.delete(f"{thread.path}/messages/{message}")
        del thread.texts[message]
        self.client.refused("GET", f"{thread.path}/messages/{message}", status=404)

    @rule(number=ANY)
    def start_run(self, number: int) -> None:
        thread, body = self.thread_of(number), {"assistant_id": self.assistant}
        if thread.active:
            self.client.refused("POST", f"{thread.path}/runs", body)
            return
        made = self.client.post(f"{thread.path}/runs", body)
        thread.runs.append(ARun(made["id"], f"{thread.path}/runs/{made['id']}"))
        assert made["status"] == "queued"

    @precondition(lambda self: self.runs_in("queued"))
    @rule(number=ANY)
    def claim(self, number: int) -> None:
        run = self.run_of(number, "queued")
        self.runner.run(self.worker.claim(run.id))
        run.status = "in_progress"

    @precondition(lambda self: self.runs_in("queued"))
    @rule(number=ANY)
    def ask(self, number: int) -> None:
        run = self.run_of(number, "queued")
        run.calls = [f"call_{next(self.numbers)}" for _ in range(2)]
        self.runner.run(self.worker.ask(run.id, *((call, "f") for call in run.calls)))
        run.status = "requires_action"

    @precondition(lambda self: self.runs_in("queued"))
    @rule(number=ANY)
    def finish(self, number: int) -> None:
        run = self.run_of(number, "queued")
        self.runner.run(self.worker.finish(run.id))
        run.status = "completed"
        thread = next(thread for thread in self.threads if run in thread.runs)
        [message] = self.client.get(f"{thread.path}/messages", run_id=run.id)["data"]
        thread.texts[message["id"]] = "x = 1"

    @precondition(lambda self: self.runs_in("cancelling"))
    @rule(number=ANY)
    def let_go(self, number: int) -> None:
        run = self.run_of(number, "cancelling")
        self.runner.run(self.worker.let_go(run.id))
        run.status = "cancelled"

    @precondition(lambda self: self.runs_in("requires_action"))
    @rule(number=ANY)
    def submit(self, number: int) -> None:
        run = self.run_of(number, "requires_action")
        path = f"{run.path}/submit_tool_outputs"
        for wrong in (run.calls[:1], ["call_x", *run.calls[1:]], [*run.calls, run.calls[0]]):
            self.client.refused("POST", path, _outputs(wrong))
        assert self.client.post(path, _outputs(run.calls))["status"] == "queued"
        run.status = "queued"

    @precondition(lambda self: self.runs_in(*CANCELLABLE))
    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        run = self.run_of(number, *CANCELLABLE)
        assert self.client.post(f"{run.path}/cancel")["status"] == "cancelling"
        run.status = "cancelling"

    @precondition(lambda self: self.runs_in())
    @rule(number=ANY)
    def try_what_its_status_forbids(self, number: int) -> None:
        run = self.run_of(number)
        if run.status not in CANCELLABLE:
            self.client.refused("POST", f"{run.path}/cancel")
        if run.status != "requires_action":
            self.client.refused("POST", f"{run.path}/submit_tool_outputs", _outputs(run.calls or ["call_x"]))
        if not run.ended:
            self.client.refused("POST", run.path, {"metadata": {"label": "x"}})

    @precondition(lambda self: self.runs_in(*ENDS))
    @rule(number=ANY, value=strategies.text(max_size=10))
    def label_run(self, number: int, value: str) -> None:
        run = self.run_of(number, *ENDS)
        run.metadata = self.client.post(run.path, {"metadata": {"label": value}})["metadata"]
        assert run.metadata == {"label": value}

    @rule(number=ANY, value=strategies.text(max_size=10))
    def label_thread(self, number: int, value: str) -> None:
        thread = self.thread_of(number)
        thread.metadata = self.client.post(thread.path, {"metadata": {"label": value}})["metadata"]
        assert thread.metadata == {"label": value}

    @precondition(lambda self: len(self.threads) == MOST_THREADS)
    @rule(number=ANY)
    def delete_thread(self, number: int) -> None:
        thread = self.threads.pop(number % len(self.threads))
        self.client.delete(thread.path)
        self.gone += [thread.path, f"{thread.path}/messages", f"{thread.path}/runs"]
        self.gone += [f"{thread.path}/messages/{message}" for message in thread.texts]
        self.gone += [run.path for run in thread.runs]

    @rule(number=ANY, limit=strategies.integers(1, 4), order=strategies.sampled_from(["asc", "desc"]))
    def page_through(self, number: int, limit: int, order: str) -> None:
        thread = self.thread_of(number)
        for name, wanted in (
            ("messages", list(thread.texts)),
            ("runs", [run.id for run in thread.runs]),
        ):
            found: list[str] = []
            more = True
            while more:
                after = {"after": found[-1]} if found else {}
                page = self.client.get(f"{thread.path}/{name}", limit=limit, order=order, **after)
                found += [each["id"] for each in page["data"]]
                more = page["has_more"]
                assert len(page["data"]) == limit or not more
            assert found == (wanted if order == "asc" else wanted[::-1])

    @precondition(lambda self: self.runs_in())
    @rule(number=ANY)
    def look_at_run(self, number: int) -> None:
        """It is in its own thread only, and no message."""
        run = self.run_of(number)
        self.check(run)
        for thread in self.threads:
            if run not in thread.runs:
                self.client.refused("GET", f"{thread.path}/runs/{run.id}", status=404)
        self.client.refused("GET", f"{self.threads[0].path}/messages/{run.id}", status=404)

    def check(self, run: ARun) -> None:
        now = self.client.get(run.path)
        assert (now["status"], now["metadata"]) == (run.status, run.metadata)
        action = now["required_action"]
        asked = [call["id"] for call in action["submit_tool_outputs"]["tool_calls"]] if action else []
        assert asked == (run.calls if run.status == "requires_action" else [])

    def teardown(self) -> None:
        """All that there is, and all that is gone."""
        for thread in self.threads:
            assert self.client.get(thread.path)["metadata"] == thread.metadata
            page = self.client.get(f"{thread.path}/messages", order="asc", limit=100)
            texts = {each["id"]: each["content"][0]["text"]["value"] for each in page["data"]}
            assert list(texts.items()) == list(thread.texts.items())
            for run in thread.runs:
                self.check(run)
        for path in self.gone:
            self.client.refused("GET", path, status=404)


def _outputs(calls: list[str]) -> Json:
    return {"tool_outputs": [{"tool_call_id": call, "output": "out"} for call in calls]}


@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
def test_what_is_true_of_threads_and_runs(
    url: str, mongo_url: str, database: str, version: dict[str, str]
) -> None:
    class OneWalk(Walk):
        client = api(url, version)

    bounds = settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a walk that fails is shown as it is: to make it shorter takes minutes
    )
    with asyncio.Runner() as runner:
        OneWalk.runner, OneWalk.worker = runner, Worker(mongo_url, database)
        try:
            run_state_machine_as_test(OneWalk, settings=bounds)
        finally:
            OneWalk.worker.close()
            OneWalk.client.client.close()
