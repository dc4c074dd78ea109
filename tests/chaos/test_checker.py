"""The checker finds nothing where all is well, and each of 27 things that are wrong."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checker import INVARIANTS, Violation, check, hold
from tests.chaos.clean import NOW, clean
from tests.chaos.history import History, Json, Op, Reading, Record, Seen

TEXT, RETAKEN, CODE, CODE_2, FUNCTION, CANCELLED = range(6)  # the runs of the clean history


def run(history: History, number: int = TEXT) -> Json:
    return history.runs[number]


def answer_of(history: History, number: int = TEXT) -> Json:
    """The last message that the run wrote."""
    return [m for m in history.messages if m.get("run_id") == run(history, number)["_id"]][-1]


def an_acknowledged_run_is_gone(history: History) -> None:
    (reading,) = (each for each in history.readings if each.id == run(history)["_id"])
    reading.status = 404


def a_run_hangs(history: History) -> None:
    run(history)["status"] = "in_progress"


def a_completed_run_fails_later(history: History) -> None:
    history.seen.append(Seen("client", NOW, run(history)["_id"], "thread_text", "failed"))


def two_runs_of_a_thread_are_active(history: History) -> None:
    run(history, TEXT)["active"] = run(history, RETAKEN)["active"] = True


def an_answer_is_there_twice(history: History) -> None:
    message = answer_of(history)
    seq = 1 + max(each["seq"] for each in history.messages if each["thread_id"] == message["thread_id"])
    history.messages.append({**message, "_id": "msg_again", "seq": seq})


def the_end_is_seen_before_the_answer(history: History) -> None:
    (op,) = (each for each in history.ops if each.kind == "list" and each.run_id == run(history)["_id"])
    op.answer = {"data": []}


def a_cancelled_answer_is_completed(history: History) -> None:
    answer_of(history, CANCELLED)["status"] = "completed"


def an_event_is_missing(history: History) -> None:
    del run(history)["events"][3]


def the_feed_is_out_of_order(history: History) -> None:
    history.feed[0], history.feed[1] = history.feed[1], history.feed[0]


def the_feed_has_a_phantom(history: History) -> None:
    history.feed.append(replace(history.feed[0], id=f"{run(history)['_id']}:99", offset=99))


def a_run_ends_twice(history: History) -> None:
    events = run(history)["events"]
    events[3] = {**events[-1], "seq": events[3]["seq"]}


def a_call_has_no_output(history: History) -> None:
    run(history, CODE)["steps"][0]["calls"][0]["output"] = None


def code_took_effect_twice(history: History) -> None:
    for each in (run(history, CODE_2)["steps"][0]["calls"][0], history.executions[1]["result"]):
        each["output"] = "effect 3"


def an_output_was_taken_for_a_call_of_nobody(history: History) -> None:
    history.executions.append({**history.executions[0], "_id": "call_of_nobody"})


def an_epoch_fell(history: History) -> None:
    history.seen.append(Seen("store", NOW, run(history)["_id"], "thread_text", "in_progress", 7, 1))


def a_fenced_reply_counts(history: History) -> None:
    accepted = next(call for call in history.model_calls if call.said == "reply-1")
    accepted.ended_at += 1
    history.model_calls.append(replace(accepted, began_at=accepted.began_at + 0.5, said="another"))


def a_cancellation_takes_a_minute(history: History) -> None:
    run(history, CANCELLED)["events"][-1]["at"] += 60


def a_message_is_stored_twice(history: History) -> None:
    message = history.messages[0]
    seq = 1 + max(each["seq"] for each in history.messages if each["thread_id"] == message["thread_id"])
    history.messages.append({**message, "_id": "msg_twice", "seq": seq})


def the_model_read_what_came_later(history: History) -> None:
    first = next(call for call in history.model_calls if call.said == "reply-1")
    first.prompt = [{"role": "user", "content": "of another thread"}, *first.prompt]


def a_delta_is_lost(history: History) -> None:
    events = history.transcripts[0].events
    del events[next(i for i, (name, _) in enumerate(events) if name.endswith(".delta"))]


def usage_is_counted_twice(history: History) -> None:
    run(history)["usage"] = {"prompt_tokens": 20, "completion_tokens": 10}


def a_dead_gateway_keeps_its_slot(history: History) -> None:
    history.slots.append({"_id": 3, "owner": "dead", "until": history.ended_at + 10})


def a_stranger_reads_a_thread(history: History) -> None:
    path = {"path": "/threads/thread_text"}
    history.ops.append(Op("foreign", NOW, NOW, 200, asked=path))


def a_good_record_is_set_aside(history: History) -> None:
    history.dead.append(Record("run-commands.v1.dead", 0, 1, "", '{"run_id": "run_1"}'))


def bytes_without_a_file_are_left(history: History) -> None:
    history.bytes_of.append("file-of-nobody")


def a_run_is_not_announced(history: History) -> None:
    run(history)["watched"] = "ended"


def a_deleted_thread_is_back(history: History) -> None:
    (reading,) = (each for each in history.readings if each.id == "thread_gone")
    reading.status = 200


CORRUPTED: dict[int, Callable[[History], None]] = {
    1: an_acknowledged_run_is_gone,
    2: a_run_hangs,
    3: a_completed_run_fails_later,
    4: two_runs_of_a_thread_are_active,
    5: an_answer_is_there_twice,
    6: the_end_is_seen_before_the_answer,
    7: a_cancelled_answer_is_completed,
    8: an_event_is_missing,
    9: the_feed_is_out_of_order,
    10: the_feed_has_a_phantom,
    11: a_run_ends_twice,
    12: a_call_has_no_output,
    13: code_took_effect_twice,
    14: an_output_was_taken_for_a_call_of_nobody,
    15: an_epoch_fell,
    16: a_fenced_reply_counts,
    17: a_cancellation_takes_a_minute,
    18: a_message_is_stored_twice,
    19: the_model_read_what_came_later,
    20: a_delta_is_lost,
    21: usage_is_counted_twice,
    22: a_dead_gateway_keeps_its_slot,
    23: a_stranger_reads_a_thread,
    24: a_good_record_is_set_aside,
    25: bytes_without_a_file_are_left,
    26: a_run_is_not_announced,
    27: a_deleted_thread_is_back,
}


# More ways to break the same promises.
ALSO: list[tuple[int, Callable[[History], object]]] = [
    (2, lambda history: run(history).update(ended_at=run(history)["expires_at"] + 31)),
    (4, lambda history: run(history, RETAKEN)["events"][2].update(at=NOW)),
    (5, lambda history: history.messages.remove(answer_of(history))),
    (5, lambda history: answer_of(history).update(content=[])),
    (7, lambda history: [message.update(live=True) for message in history.messages]),
    (9, lambda history: history.feed.pop(0)),
    (9, lambda history: history.feed.append(replace(history.feed[0], value="{}"))),
    (14, lambda history: setattr(_submit(history), "asked", _outputs("call_x"))),
    (14, lambda history: run(history, FUNCTION)["steps"][0]["calls"][0].update(output="of nobody")),
    (17, lambda history: run(history, CANCELLED).update(status="completed")),
    (18, lambda history: history.messages.pop(0)),
    (20, lambda history: history.transcripts[0].events.pop()),
    (22, lambda history: run(history).update(owner="dead")),
    (24, lambda history: history.dead.clear()),
    (25, lambda history: history.leftovers.append("process 1")),
    (25, lambda history: history.told.append("the key is sk-secret")),
    (26, lambda history: history.lag.update({"tool-code": 2})),
    (26, lambda history: history.memory_mb.update(gateway=(80.0, 800.0))),
    (27, lambda history: history.threads[-1].update(live=True)),
]


def _submit(history: History) -> Op:
    return next(op for op in history.ops if op.kind == "submit")


def _outputs(call_id: str) -> Json:
    return {"tool_outputs": [{"tool_call_id": call_id, "output": "x"}]}


def test_a_clean_history_passes() -> None:
    assert check(clean()) == []
    hold(clean())


def test_there_are_27_and_each_says_its_number() -> None:
    assert list(INVARIANTS) == list(range(1, 28)) == list(CORRUPTED)
    for number, invariant in INVARIANTS.items():
        assert (invariant.__doc__ or "").startswith(f"{number}: ")


@pytest.mark.parametrize("number", CORRUPTED)
def test_what_is_wrong_is_found(number: int) -> None:
    history = clean()
    CORRUPTED[number](history)
    found = {violation.invariant for violation in check(history)}
    assert number in found
    with pytest.raises(AssertionError, match=f"seed {history.seed}"):
        hold(history)


@pytest.mark.parametrize(("number", "corrupt"), ALSO)
def test_it_is_found_in_other_forms(number: int, corrupt: Callable[[History], object]) -> None:
    history = clean()
    corrupt(history)
    assert number in {violation.invariant for violation in check(history)}


@pytest.mark.parametrize("number", CORRUPTED)
def test_a_failure_names_the_run_and_shows_its_history(number: int) -> None:
    history = clean()
    CORRUPTED[number](history)
    concerned = next((each.run_id for each in check(history) if each.run_id), "")
    with pytest.raises(AssertionError) as raised:
        hold(history)
    assert f"--- {concerned}" in str(raised.value) or not concerned


def test_reading_changes_nothing() -> None:
    history = clean()
    before = copy.deepcopy(history)
    check(history)
    assert history == before
    assert isinstance(check(History(readings=[Reading("run", "run_x", 404)])), list)
    assert str(Violation(3, "x", "run_1")) == "3: x [run_1]"
