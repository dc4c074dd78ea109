"""The AsyncAPI document: every topic, its messages, and who sends and receives them."""

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from deploy.contracts.schemas import FEED_TYPES, MODELS, headers
from shared import events, feed, topics
from shared.runs.model import Json

REF = "#/components/schemas/{model}"
BINDING_VERSION = "0.5.0"
OTHERS = "others"  # any back end beside Threadmill
FEED_HEADERS = "ThreadEventHeaders"
NO_KEY = ("none", "partition")

CARRIES: dict[topics.Topic, type[events.Message]] = {
    topics.THREAD_EVENTS: events.ThreadEvent,
    topics.RUN_COMMANDS: events.RunCommand,
    topics.TOOL_REQUESTS_CODE: events.CodeRequested,
    topics.TOOL_REQUESTS_RETRIEVAL: events.SearchRequested,
    topics.TOOL_RESULTS: events.ToolResult,
    topics.FILE_COMMANDS: events.FileCommand,
    topics.RUN_STREAM: events.Frame,
    topics.CONTROL: events.Control,
}
SENDS: dict[str, tuple[topics.Topic, ...]] = {
    "gateway": (
        topics.RUN_COMMANDS,
        topics.CONTROL,
        topics.THREAD_EVENTS,
        topics.RUN_STREAM,
        topics.FILE_COMMANDS,
        topics.TOOL_REQUESTS_RETRIEVAL,
    ),
    "run_orchestrator": (
        topics.THREAD_EVENTS,
        topics.RUN_STREAM,
        topics.TOOL_REQUESTS_CODE,
        topics.TOOL_REQUESTS_RETRIEVAL,
        topics.RUN_COMMANDS,
    ),
    "tool_code": (topics.TOOL_RESULTS, topics.RUN_STREAM),
    "tool_retrieval": (topics.TOOL_RESULTS, topics.RUN_STREAM),
}
RECEIVES: dict[str, tuple[topics.Topic, ...]] = {
    "gateway": (topics.RUN_STREAM,),
    "run_orchestrator": (topics.RUN_COMMANDS, topics.TOOL_RESULTS, topics.CONTROL),
    "tool_code": (topics.TOOL_REQUESTS_CODE, topics.CONTROL),
    "tool_retrieval": (topics.FILE_COMMANDS, topics.TOOL_REQUESTS_RETRIEVAL),
    OTHERS: (topics.THREAD_EVENTS,),
}


def document() -> Json:
    channels = {name_of(topic): _channel(topic) for topic in topics.ALL}
    channels |= {f"{name_of(topic)}-dead": _dead_letters(topic) for topic in topics.WORK}
    operations = [
        _operation(who, action, topic)
        for action, table in (("send", SENDS), ("receive", RECEIVES))
        for who, all_topics in table.items()
        for topic in all_topics
    ]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Threadmill",
            "version": "1",
            "description": "All that crosses Kafka: `thread-events` for everyone, the rest for the services.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {
                    "bootstrap": {"default": "localhost:9092", "description": "THREADMILL_KAFKA_BOOTSTRAP"}
                },
            }
        },
        "channels": channels,
        "operations": {name: operation for operation in operations for name in [_operation_name(operation)]},
        "components": {
            "schemas": _schemas(),
            "messages": _messages(),
            "parameters": {
                "prefix": {
                    "default": "threadmill.",
                    "description": "THREADMILL_TOPIC_PREFIX, of a deployment.",
                }
            },
        },
    }


def name_of(topic: topics.Topic) -> str:
    """The topic without the version of its contract, as people call it."""
    return topic.name.rpartition(".v")[0]


def messages_of(topic: topics.Topic) -> list[str]:
    if topic is topics.THREAD_EVENTS:
        return [name.removeprefix("thread.") for name in FEED_TYPES]
    return [CARRIES[topic].__name__]


def _channel(topic: topics.Topic) -> Json:
    channel = _topic(topic.name, topic.partitions, topic.retention_s, topic.purpose)
    return channel | {
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages_of(topic)},
        "x-key": topic.key,
    }


def _dead_letters(topic: topics.Topic) -> Json:
    name = topic.name + topics.DEAD_LETTER_SUFFIX
    purpose = (
        f"records of {topic.name} that cannot be processed, as they came; the reason is in headers (`dead_*`)"
    )
    return _topic(name, topics.DEAD_LETTER_PARTITIONS, topics.DEAD_LETTER_RETENTION_S, purpose)


def _topic(name: str, partitions: int, retention_s: int, purpose: str) -> Json:
    configuration = {"cleanup.policy": ["delete"], "retention.ms": retention_s * 1000}
    return {
        "address": f"{{prefix}}{name}",
        "description": purpose,
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "bindings": {
            "kafka": {
                "partitions": partitions,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation(who: str, action: str, topic: topics.Topic) -> Json:
    channel = f"#/channels/{name_of(topic)}"
    return {
        "action": action,
        "title": f"{who} {action}s {name_of(topic)}",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages_of(topic)],
        "tags": [{"name": who}],
    }


def _operation_name(operation: Json) -> str:
    return str(operation["title"]).replace(" ", "-")


def _messages() -> Json:
    described = {}
    for topic, model in CARRIES.items():
        message = {"summary": _first_sentence(model), "payload": {"$ref": REF.format(model=model.__name__)}}
        if not topic.key.startswith(NO_KEY):
            key = {"type": "string", "description": topic.key}
            message["bindings"] = {"kafka": {"key": key, "bindingVersion": BINDING_VERSION}}
        for name in messages_of(topic):
            described[name] = {"name": name, **message}
            if topic is topics.THREAD_EVENTS:
                described[name] |= _envelope(f"thread.{name}")
    return described


def _envelope(stream_name: str) -> Json:
    type_ = feed.event_type(stream_name)
    of_type = {"type": "object", "properties": {"ce_type": {"const": type_}}}
    return {
        "title": type_,
        "summary": f"What the event stream calls {stream_name}.",
        "headers": {"allOf": [{"$ref": REF.format(model=FEED_HEADERS)}, of_type]},
    }


def _schemas() -> Json:
    models: list[tuple[type[BaseModel], str]] = [(model, "validation") for model in MODELS.values()]
    _, made = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    return {**made["$defs"], FEED_HEADERS: headers()}


def _first_sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]
