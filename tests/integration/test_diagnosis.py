"""Why a run is where it is: over HTTP, with the lag of its topic, and by ``threadmill why``."""

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.arguments import read
from deploy.local.why import why
from tests.eventually import eventually
from tests.integration.running_gateway import V2, Worker, api, running_gateway


async def test_a_run_that_nobody_takes_then_one_that_waits_for_its_client(
    kafka_bootstrap: str, mongo_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, prefix = f"gateway_{uuid4().hex[:12]}", f"t{uuid4().hex[:8]}."
    with running_gateway(kafka_bootstrap, mongo_url, database, topic_prefix=prefix) as url:
        client = api(url, V2)
        thread, assistant = client.thread("hi"), client.assistant()
        run = client.post(f"/threads/{thread}/runs", {"assistant_id": assistant})
        path = f"/threads/{thread}/runs/{run['id']}/diagnosis"

        async def told() -> bool:
            """No orchestrator runs, so the command stays where it is."""
            lag = client.get(path)["lag"]
            return lag is not None and lag["records"] == 1 and lag["topic"].startswith("run-commands")

        await eventually(told, within_s=60)
        found = client.get(path)
        assert (found["object"], found["status"], found["phase"]) == (
            "thread.run.diagnosis",
            "queued",
            "runnable",
        )
        assert found["summary"].startswith("The run waits for an orchestrator to take it")
        assert client.refused("GET", path.replace("run_", "run_x"), status=404)

        where = ("--mongo", mongo_url, "--database", database, "--kafka", kafka_bootstrap, "--prefix", prefix)
        capsys.readouterr()
        assert await why(read(["why", run["id"], *where, "--data", str(tmp_path)], {})) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{run['id']}: queued (phase runnable), thread {thread}\n")
        assert "lag       1 records not done on run-commands" in said
        assert await why(read(["why", "run_never", *where, "--data", str(tmp_path)], {})) == 1
        assert "there is no run 'run_never'" in capsys.readouterr().err

        worker = Worker(mongo_url, database)
        await worker.ask(run["id"], ("call_a", "weather"))
        found = client.get(path)
        assert found["summary"] == "The run waits for its client to submit outputs of weather."
        assert (found["lag"], found["calls_awaited"][0]["id"]) == (None, "call_a")
        worker.close()
        client.client.close()
