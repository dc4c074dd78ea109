"""Requests about the cluster and its topics."""

import base64
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from aiokafka.protocol.admin import (
    CreatePartitionsRequest_v1,
    CreateTopicsRequest_v3,
    DeleteTopicsRequest_v3,
    DescribeConfigsRequest_v1,
)
from aiokafka.protocol.metadata import MetadataRequest_v5

from deploy.local.broker.errors import ErrorCode, Refused
from deploy.local.broker.groups import Groups
from deploy.local.broker.topics import DEFAULT_CONFIGS, Topics
from deploy.local.broker.wire import Handlers, Peer

NODE_ID = 1
NO_THROTTLE = 0
TOPIC_RESOURCE = 2
SET_ON_TOPIC, DEFAULT = 1, 5  # where a config value comes from
BY_DEFAULT = -1


class TopicRequests:
    def __init__(self, topics: Topics, groups: Groups, *, create_unknown_topics: bool) -> None:
        self._topics = topics
        self._groups = groups
        self._create_unknown_topics = create_unknown_topics
        # New at every start, and so a client can tell that this broker has forgotten everything.
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def handlers(self) -> Handlers:
        return {
            MetadataRequest_v5: self.metadata,
            CreateTopicsRequest_v3: self.create_topics,
            DeleteTopicsRequest_v3: self.delete_topics,
            CreatePartitionsRequest_v1: self.create_partitions,
            DescribeConfigsRequest_v1: self.describe_configs,
        }

    async def metadata(self, request: Any, peer: Peer) -> Any:
        names = self._topics.names() if request.topics is None else request.topics
        if self._create_unknown_topics and request.allow_auto_topic_creation:
            for name in names:
                with suppress(Refused):
                    self._topics.create(name)
        nodes = [(NODE_ID, peer.host, peer.port, None)]
        topics = [self._describe(name) for name in names]
        return request.RESPONSE_TYPE(NO_THROTTLE, nodes, self.cluster_id, NODE_ID, topics)

    def _describe(self, name: str) -> tuple[ErrorCode, str, bool, list[Any]]:
        try:
            topic = self._topics.get(name)
        except Refused as refused:
            return refused.code, name, False, []
        only_node = [NODE_ID]
        partitions: list[tuple[Any, ...]] = [
            (ErrorCode.NONE, number, NODE_ID, only_node, only_node, [])
            for number in range(len(topic.partitions))
        ]
        return ErrorCode.NONE, name, False, partitions

    async def create_topics(self, request: Any, peer: Peer) -> Any:
        def create(
            name: str, partitions: int, replicas: int, placement: list[Any], configs: list[Any]
        ) -> None:
            if placement:
                raise Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "there is one node")
            if replicas not in (1, BY_DEFAULT):
                raise Refused(ErrorCode.INVALID_REPLICATION_FACTOR, "there is one node")
            self._topics.create(name, partitions, dict(configs), dry=request.validate_only)

        answers = [(topic[0], *_outcome(create, *topic)) for topic in request.create_topic_requests]
        return request.RESPONSE_TYPE(NO_THROTTLE, answers)

    async def delete_topics(self, request: Any, peer: Peer) -> Any:
        def delete(name: str) -> None:
            self._topics.delete(name)
            self._groups.forget_topic(name)

        return request.RESPONSE_TYPE(
            NO_THROTTLE, [(name, _outcome(delete, name)[0]) for name in request.topics]
        )

    async def create_partitions(self, request: Any, peer: Peer) -> Any:
        def grow(name: str, count: int) -> None:
            self._topics.grow(name, count, dry=request.validate_only)

        answers = [(name, *_outcome(grow, name, count)) for name, (count, _) in request.topic_partitions]
        return request.RESPONSE_TYPE(NO_THROTTLE, answers)

    async def describe_configs(self, request: Any, peer: Peer) -> Any:
        answers: list[tuple[Any, ...]] = []
        for kind, name, wanted in request.resources:
            try:
                if kind != TOPIC_RESOURCE:
                    raise Refused(ErrorCode.INVALID_REQUEST, "only the configs of topics can be described")
                given = self._topics.get(name).configs
            except Refused as refused:
                answers.append((refused.code, refused.reason, kind, name, []))
            else:
                answers.append((ErrorCode.NONE, None, kind, name, list(_config_entries(given, wanted))))
        return request.RESPONSE_TYPE(NO_THROTTLE, answers)


def _config_entries(given: dict[str, str], wanted: list[str] | None) -> Iterable[tuple[Any, ...]]:
    for name, default in DEFAULT_CONFIGS.items():
        if wanted is None or name in wanted:
            source = SET_ON_TOPIC if name in given else DEFAULT
            yield name, given.get(name, default), False, source, False, []


def _outcome(action: Callable[..., None], *arguments: Any) -> tuple[ErrorCode, str | None]:
    try:
        action(*arguments)
    except Refused as refused:
        return refused.code, refused.reason
    return ErrorCode.NONE, None
