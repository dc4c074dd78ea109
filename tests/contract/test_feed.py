"""The public feed against the rules of CloudEvents 1.0 and of its Kafka binding, binary mode.

Read by a parser of our own, written from the specification; it knows nothing of ``shared/feed``.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import jsonschema
import pytest

from deploy.contracts.schemas import HEADERS, schemas
from shared.events import ThreadEvent
from shared.feed import Headers, message_event, run_event
from shared.runs import facts as f
from tests.unit.run_samples import ANSWERED, CLAIMED, CODE, DONE, NOW, TOLD, after, calls_made
from tests.unit.run_space import changes

REQUIRED = {"id", "source", "specversion", "type"}
OPTIONAL = {"datacontenttype", "dataschema", "subject", "time"}
EXTENSIONS = {"partitionkey", "sequence"}
LONG = after(TOLD, calls_made(CODE), f.ToolAnswered("c1", "2", NOW), CLAIMED, ANSWERED, f.Settled(NOW))
OF_RUNS = [run_event(run, event) for run in (DONE, LONG) for event in run.events]
OF_MESSAGES = [message_event(name, "msg_1", "thread_1", "p", 1000.25) for name in ("created", "deleted")]
RECORDS = OF_RUNS + OF_MESSAGES


@dataclass(frozen=True)
class CloudEvent:
    attributes: dict[str, str]
    data: ThreadEvent


def read(record: tuple[Headers, ThreadEvent]) -> CloudEvent:
    """Parse a record as the Kafka binding says (binary content mode)."""
    headers, body = record
    names = [name for name, _ in headers]
    assert len(set(names)) == len(names), "no header twice"
    values = {name: value.decode("utf-8") for name, value in headers}
    assert not values["content-type"].startswith("application/cloudevents"), "that would be structured mode"
    attributes = {name.removeprefix("ce_"): value for name, value in values.items() if name.startswith("ce_")}
    attributes["datacontenttype"] = values["content-type"]
    return CloudEvent(attributes, ThreadEvent.model_validate_json(body.model_dump_json(exclude_none=True)))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: dict(record[0])["ce_id"].decode())
def test_a_record_is_a_cloud_event(record: tuple[Headers, ThreadEvent]) -> None:
    event = read(record)
    names = event.attributes.keys()
    assert REQUIRED <= names <= REQUIRED | OPTIONAL | EXTENSIONS
    for name, value in event.attributes.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name), "attribute names are short, of letters and digits"
        assert value, "an attribute that is there is not empty"
        assert value.isprintable()
    assert event.attributes["specversion"] == "1.0"
    assert event.attributes["datacontenttype"] == "application/json"
    assert "datacontenttype" not in [name.removeprefix("ce_") for name, _ in record[0]]
    assert (
        datetime.fromisoformat(event.attributes["time"]).tzinfo is UTC or event.attributes["time"][-1] == "Z"
    )
    assert re.fullmatch(r"/[^\s]+", event.attributes["source"]), "a URI reference"
    assert event.attributes["dataschema"].startswith("https://")
    assert event.attributes["partitionkey"] == event.data.thread_id


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: dict(record[0])["ce_id"].decode())
def test_a_record_keeps_to_the_published_schemas(record: tuple[Headers, ThreadEvent]) -> None:
    headers, body = record
    jsonschema.validate({name: value.decode() for name, value in headers}, schemas()[HEADERS])
    jsonschema.validate(body.model_dump(mode="json"), schemas()["thread-event.v1"])
    assert dict(headers)["ce_dataschema"].decode() == schemas()["thread-event.v1"]["$id"]


def test_ids_are_unique_within_their_source() -> None:
    seen = [
        (event.attributes["source"], event.attributes["id"])
        for event in map(read, OF_RUNS[: len(DONE.events)])
    ]
    assert len(set(seen)) == len(seen)


def test_the_sequence_is_padded_so_that_it_sorts_as_text() -> None:
    events = [read(run_event(LONG, event)) for event in LONG.events]
    sequence = [event.attributes["sequence"] for event in events]
    assert len(sequence) > 10
    assert sequence == sorted(sequence)
    assert [int(value) for value in sequence] == [event.data.seq for event in events]
    assert {len(value) for value in sequence} == {10}


def test_the_type_ends_with_its_version_and_the_subject_says_what_it_is_about() -> None:
    first, *_ = map(read, OF_RUNS)
    assert first.attributes["type"] == "dev.threadmill.run.created.v1"
    assert first.attributes["subject"] == first.data.run_id == "run_1"
    message = read(OF_MESSAGES[0])
    assert message.attributes["type"] == "dev.threadmill.message.created.v1"
    assert message.attributes["subject"] == message.data.message_id == "msg_1"
    assert message.attributes["time"] == "1970-01-01T00:16:40.250000+00:00"


def test_a_repeat_is_the_same_to_the_last_byte_however_the_run_went_on() -> None:
    for change in changes()[::151]:
        for event in change.before.events:
            assert run_event(change.before, event) == run_event(change.after, event)


def test_the_feed_carries_no_content() -> None:
    for headers, body in OF_RUNS:
        told = body.model_dump_json() + str(headers)
        assert "Hi" not in told
        assert "1+1" not in told


def test_events_of_a_message_name_it() -> None:
    for event in LONG.events:
        data = read(run_event(LONG, event)).data
        if event.type.startswith("thread.message."):
            assert data.message_id is not None
        if event.step_id is None:
            assert (data.step_id, data.message_id) == (None, None)
