"""Runs over HTTP after they began: cancelled, answered, changed, left behind."""

from tests.integration.running_gateway import Api, Worker, started


async def test_only_a_run_that_ended_can_be_modified(v1: Api, v2: Api, worker: Worker) -> None:
    _, run = started(v2, metadata={"a": "1"})
    error = v2.refused("POST", run, {"metadata": {"b": "2"}})
    assert error["message"] == "Cannot update run with status 'queued'."
    await worker.finish(run.split("/")[-1])
    assert v2.post(run, {"metadata": {"b": "2"}})["metadata"] == {"a": "1", "b": "2"}
    assert v1.post(run, {"metadata": {"c": 3}})["metadata"] == {"a": "1", "b": "2", "c": "3"}
    assert v2.refused("POST", run, {"status": "failed"})["code"] == "unknown_parameter"


async def test_a_run_is_cancelled_once(v2: Api, worker: Worker) -> None:
    _, run = started(v2)
    assert v2.post(f"{run}/cancel")["status"] == "cancelling"
    error = v2.refused("POST", f"{run}/cancel")
    assert error["message"] == "Cannot cancel run with status 'cancelling'."
    await worker.settle(run.split("/")[-1])
    seen = v2.get(run)
    assert (seen["status"], seen["expires_at"]) == ("cancelled", None)
    assert seen["cancelled_at"] is not None
    error = v2.refused("POST", f"{run}/cancel")
    assert error["message"] == "Cannot cancel run with status 'cancelled'."


async def test_function_calls_are_answered_all_together(v2: Api, worker: Worker) -> None:
    _, run = started(v2)
    submit = f"{run}/submit_tool_outputs"
    one, two = ({"tool_call_id": call, "output": f'{{"of": "{call}"}}'} for call in ("call_a", "call_b"))
    error = v2.refused("POST", submit, {"tool_outputs": [one]})
    assert error["message"] == 'Runs in status "queued" do not accept tool outputs.'
    await worker.ask(run.split("/")[-1], ("call_a", "f"), ("call_b", "g"))
    asked = v2.get(run)
    assert asked["status"] == "requires_action"
    calls = asked["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [(call["id"], call["function"]["name"]) for call in calls] == [("call_a", "f"), ("call_b", "g")]
    for outputs, got in (([one], "['call_a']"), ([one, two, two], "['call_a', 'call_b', 'call_b']")):
        error = v2.refused("POST", submit, {"tool_outputs": outputs})
        assert error["message"] == f"Expected tool outputs for call_ids ['call_a', 'call_b'], got {got}"
    answered = v2.post(submit, {"tool_outputs": [two, one]})
    assert (answered["status"], answered["required_action"]) == ("queued", None)
    [step] = v2.get(f"{run}/steps")["data"]
    assert step["status"] == "completed"
    outputs_seen = [call["function"]["output"] for call in step["step_details"]["tool_calls"]]
    assert outputs_seen == [one["output"], two["output"]]
    error = v2.refused("POST", submit, {"tool_outputs": [one, two]})
    assert error["message"] == 'Runs in status "queued" do not accept tool outputs.'


async def test_steps_are_listed_page_by_page(v2: Api, worker: Worker) -> None:
    _, run = started(v2)
    await worker.ask(run.split("/")[-1], ("call_a", "f"))
    v2.post(f"{run}/submit_tool_outputs", {"tool_outputs": [{"tool_call_id": "call_a", "output": ""}]})
    await worker.finish(run.split("/")[-1])
    steps = v2.get(f"{run}/steps")
    message, calls = steps["data"]
    assert (message["type"], calls["type"], steps["has_more"]) == ("message_creation", "tool_calls", False)
    first = v2.get(f"{run}/steps", limit=1)
    assert (first["data"], first["has_more"]) == ([message], True)
    assert v2.get(f"{run}/steps", after=message["id"])["data"] == [calls]
    assert v2.get(f"{run}/steps", before=calls["id"])["data"] == [message]
    assert v2.get(f"{run}/steps", order="asc", limit=1)["data"] == [calls]
    wanted = {"include[]": "step_details.tool_calls[*].file_search.results[*].content"}
    assert v2.get(f"{run}/steps", **wanted)["data"] == [message, calls]
    refused = v2.refused("GET", f"{run}/steps?include[]=everything")
    assert (refused["code"], refused["param"]) == ("invalid_value", "include[0]")


async def test_deleting_a_thread_cancels_its_run(v2: Api, worker: Worker) -> None:
    thread, run = started(v2)
    v2.delete(thread)
    assert (await worker.get(run.split("/")[-1])).status == "cancelling"
    for path in (run, f"{run}/steps"):
        v2.refused("GET", path, status=404)


async def test_an_old_run_outlives_its_assistant(v2: Api, worker: Worker) -> None:
    thread, run = started(v2)
    v2.delete(f"/assistants/{v2.get(run)['assistant_id']}")
    await worker.finish(run.split("/")[-1])
    assert v2.get(run)["status"] == "completed"
    body = {"assistant_id": v2.get(run)["assistant_id"]}
    v2.refused("POST", f"{thread}/runs", body, status=404)
