"""The messages on Kafka: the schemas and the AsyncAPI document in ``docs/`` are what the code does.

The document is held to the structure that AsyncAPI 3.0 asks for, as far as this code uses it;
the whole specification's own schema is not at hand in a test.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from deploy.contracts.__main__ import DOCS, broken_promises, files, text
from deploy.contracts.asyncapi import CARRIES, OTHERS, RECEIVES, SENDS, document, name_of
from deploy.contracts.schemas import FEED_TYPES, MODELS, schemas
from shared import events, topics
from shared.runs.model import Json
from tests.unit.run_space import states

ROOT = Path(__file__).parents[2]
HOW = "python -m deploy.contracts"
REF: Json = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}}


def object_of(required: str, **properties: Json) -> Json:
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
        "patternProperties": {"^x-": {}},
    }


def map_of(values: Json) -> Json:
    return {"type": "object", "patternProperties": {r"^[\w\d.\-]+$": values}, "additionalProperties": False}


TEXT: Json = {"type": "string", "minLength": 1}
ANY_OBJECT: Json = {"type": "object"}
VARIABLE = object_of("default", default=TEXT, description=TEXT)
CHANNEL = object_of(
    "address bindings",
    address=TEXT,
    description=TEXT,
    parameters=map_of(REF),
    messages=map_of(REF),
    bindings=ANY_OBJECT,
)
OPERATION = object_of(
    "action channel messages",
    action={"enum": ["send", "receive"]},
    title=TEXT,
    channel=REF,
    messages={"type": "array", "items": REF, "minItems": 1, "uniqueItems": True},
    tags={"type": "array", "items": object_of("name", name=TEXT)},
)
MESSAGE = object_of(
    "name payload", name=TEXT, title=TEXT, summary=TEXT, payload=REF, headers=ANY_OBJECT, bindings=ANY_OBJECT
)
ASYNCAPI = object_of(
    "asyncapi info channels operations components",
    asyncapi={"const": "3.0.0"},
    info=object_of("title version", title=TEXT, version=TEXT, description=TEXT, license=ANY_OBJECT),
    defaultContentType=TEXT,
    servers=map_of(object_of("host protocol", host=TEXT, protocol=TEXT, variables=map_of(VARIABLE))),
    channels=map_of(CHANNEL),
    operations=map_of(OPERATION),
    components=object_of(
        "schemas messages",
        schemas=map_of(ANY_OBJECT),
        messages=map_of(MESSAGE),
        parameters=map_of(VARIABLE),
    ),
)


# -- the copies


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_copy_is_up_to_date(path: Path) -> None:
    assert path.is_file(), HOW
    assert path.read_text() == text(files()[path]), HOW


def test_no_copy_is_left_of_what_is_gone() -> None:
    assert set((DOCS / "schemas").iterdir()) == {path for path in files() if path.parent.name == "schemas"}


def test_no_promise_is_broken() -> None:
    assert broken_promises() == [], "a change like this needs a new version beside the old one"


# -- schemas


def test_every_message_has_a_schema_and_a_topic() -> None:
    every = {model for model in vars(events).values() if isinstance(model, type) and is_message(model)}
    assert every == set(MODELS.values()) == set(CARRIES.values())
    assert set(CARRIES) == set(topics.ALL)


def is_message(model: type) -> bool:
    return issubclass(model, events.Message) and model is not events.Message


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_valid_and_named_as_its_file(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/{name}.json")


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.__name__)
def test_readers_pass_over_fields_that_they_do_not_know(model: type[events.Message]) -> None:
    assert model.model_config["extra"] == "ignore"
    assert "additionalProperties" not in model.model_json_schema()


def test_the_feed_s_types_are_those_that_runs_produce() -> None:
    produced = {event.type for run in states() for event in run.events}
    assert produced - set(FEED_TYPES) == set()
    assert set(FEED_TYPES) - produced == set()


# -- AsyncAPI


def test_the_document_has_the_structure_of_asyncapi() -> None:
    jsonschema.validate(document(), ASYNCAPI)


def test_every_reference_leads_somewhere() -> None:
    made = document()
    for ref in refs(made):
        place: Any = made
        assert ref.startswith("#/")
        for name in ref.removeprefix("#/").split("/"):
            place = place[name]


def test_the_document_s_schemas_are_valid() -> None:
    made = document()
    for schema in made["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for message in made["components"]["messages"].values():
        Draft202012Validator.check_schema(message.get("headers", {}))


def test_each_topic_is_a_channel_with_its_numbers() -> None:
    channels = document()["channels"]
    for topic in topics.ALL:
        channel = channels[name_of(topic)]
        assert channel["address"] == "{prefix}" + topic.name
        assert (channel["description"], channel["x-key"]) == (topic.purpose, topic.key)
        kafka = channel["bindings"]["kafka"]
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_s * 1000
    dead = {name for name in channels if name.endswith("-dead")}
    assert dead == {f"{name_of(topic)}-dead" for topic in topics.WORK}
    assert len(channels) == len(topics.ALL) + len(topics.WORK)


def test_operations_take_their_messages_from_their_channel() -> None:
    for name, operation in document()["operations"].items():
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/"), name


@pytest.mark.parametrize("service", sorted({*SENDS, *RECEIVES} - {OTHERS}))
def test_the_document_and_the_service_say_the_same(service: str) -> None:
    source = (ROOT / "services" / service / "__init__.py").read_text()
    told = ast.get_docstring(ast.parse(source)) or ""
    assert topics_under("Emits", told) == {name_of(topic) for topic in SENDS[service]}
    assert topics_under("Consumes", told) == {name_of(topic) for topic in RECEIVES[service]}


def test_every_service_with_a_broker_is_in_the_document() -> None:
    services = {path.parent.name for path in ROOT.glob("services/*/__main__.py")}
    assert services == {*SENDS, *RECEIVES} - {OTHERS}


def test_every_topic_has_somebody_on_both_ends() -> None:
    for table in (SENDS, RECEIVES):
        assert {topic for found in table.values() for topic in found} == set(topics.ALL)


def topics_under(heading: str, docstring: str) -> set[str]:
    found = re.search(rf"^{heading} +(.*(?:\n +.*)*)", docstring, re.MULTILINE)
    assert found, heading
    return set(re.findall(r"``([^`]+)``", found[1])) & {name_of(topic) for topic in topics.ALL}


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            yield ref
        for member in node.values():
            yield from refs(member)
    elif isinstance(node, list):
        for member in node:
            yield from refs(member)


def test_the_copies_are_json_that_people_can_read() -> None:
    for path in files():
        assert json.loads(path.read_text())
        assert path.read_text().startswith("{\n  ")
