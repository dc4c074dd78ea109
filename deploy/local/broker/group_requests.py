"""Requests of consumer groups: to be a member, and to keep offsets."""

import uuid
from itertools import groupby
from typing import Any

from aiokafka.protocol.admin import DescribeGroupsRequest_v1, ListGroupsRequest_v1
from aiokafka.protocol.commit import OffsetCommitRequest_v3, OffsetFetchRequest_v3
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.group import (
    HeartbeatRequest_v1,
    JoinGroupRequest_v2,
    LeaveGroupRequest_v1,
    SyncGroupRequest_v1,
)

from deploy.local.broker.errors import ErrorCode, Refused
from deploy.local.broker.groups import Committed, Groups
from deploy.local.broker.members import Member
from deploy.local.broker.topic_requests import NO_THROTTLE, NODE_ID
from deploy.local.broker.topics import Topics
from deploy.local.broker.wire import Handlers, Peer

NOT_COMMITTED = Committed(-1, "")
LONGEST_METADATA = 4096
LONGEST_SESSION_MS = 30 * 60 * 1000
GROUP_COORDINATOR = 0


class GroupRequests:
    def __init__(self, groups: Groups, topics: Topics) -> None:
        self._groups = groups
        self._topics = topics

    def handlers(self) -> Handlers:
        return {
            FindCoordinatorRequest_v1: self.find_coordinator,
            JoinGroupRequest_v2: self.join,
            SyncGroupRequest_v1: self.sync,
            HeartbeatRequest_v1: self.heartbeat,
            LeaveGroupRequest_v1: self.leave,
            OffsetCommitRequest_v3: self.commit_offsets,
            OffsetFetchRequest_v3: self.fetch_offsets,
            ListGroupsRequest_v1: self.list_groups,
            DescribeGroupsRequest_v1: self.describe_groups,
        }

    async def find_coordinator(self, request: Any, peer: Peer) -> Any:
        if request.coordinator_type != GROUP_COORDINATOR:
            reason = "this broker speaks no transactions"
            return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.UNSUPPORTED_VERSION, reason, -1, "", -1)
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE, None, NODE_ID, peer.host, peer.port)

    async def join(self, request: Any, peer: Peer) -> Any:
        try:
            if not 0 < request.session_timeout <= LONGEST_SESSION_MS:
                raise Refused(ErrorCode.INVALID_SESSION_TIMEOUT)
            group = self._groups.get_or_create(request.group)
            if request.member_id and request.member_id not in group.members:
                raise Refused(ErrorCode.UNKNOWN_MEMBER_ID)
            member = Member(
                id=request.member_id or f"{peer.client_id}-{uuid.uuid4()}",
                client_id=peer.client_id,
                address=peer.address,
                session_s=request.session_timeout / 1000,
                rebalance_s=request.rebalance_timeout / 1000,
                protocols=dict(request.group_protocols),
            )
            group.check_fits(member, request.protocol_type)
            joined = await group.join(member)
        except Refused as refused:
            return request.RESPONSE_TYPE(NO_THROTTLE, refused.code, -1, "", "", request.member_id, [])
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE, *joined)

    async def sync(self, request: Any, peer: Peer) -> Any:
        try:
            group = self._groups.existing(request.group)
            assignment = await group.sync(request.member_id, request.generation_id, request.group_assignment)
        except Refused as refused:
            return request.RESPONSE_TYPE(NO_THROTTLE, refused.code, b"")
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE, assignment)

    async def heartbeat(self, request: Any, peer: Peer) -> Any:
        try:
            self._groups.existing(request.group).heartbeat(request.member_id, request.generation_id)
        except Refused as refused:
            return request.RESPONSE_TYPE(NO_THROTTLE, refused.code)
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE)

    async def leave(self, request: Any, peer: Peer) -> Any:
        try:
            self._groups.existing(request.group).remove(request.member_id)
        except Refused as refused:
            return request.RESPONSE_TYPE(NO_THROTTLE, refused.code)
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE)

    async def commit_offsets(self, request: Any, peer: Peer) -> Any:
        answers = [
            (
                topic,
                [
                    (partition, self._commit(request, topic, partition, *rest))
                    for partition, *rest in partitions
                ],
            )
            for topic, partitions in request.topics
        ]
        return request.RESPONSE_TYPE(NO_THROTTLE, answers)

    def _commit(
        self, request: Any, topic: str, partition: int, offset: int, metadata: str | None
    ) -> ErrorCode:
        try:
            group = self._groups.get_or_create(request.consumer_group)
            group.check_may_commit(request.consumer_id, request.consumer_group_generation_id)
            self._topics.log(topic, partition)
            if len(metadata or "") > LONGEST_METADATA:
                raise Refused(ErrorCode.OFFSET_METADATA_TOO_LARGE)
        except Refused as refused:
            return refused.code
        group.offsets[topic, partition] = Committed(offset, metadata or "")
        return ErrorCode.NONE

    async def fetch_offsets(self, request: Any, peer: Peer) -> Any:
        group = self._groups.find(request.consumer_group)
        offsets = group.offsets if group else {}
        wanted = request.topics
        if wanted is None:  # all there are
            by_topic = groupby(sorted(offsets), key=lambda key: key[0])
            wanted = [(topic, [partition for _, partition in keys]) for topic, keys in by_topic]
        answers = [
            (
                topic,
                [
                    (number, *offsets.get((topic, number), NOT_COMMITTED), ErrorCode.NONE)
                    for number in partitions
                ],
            )
            for topic, partitions in wanted
        ]
        return request.RESPONSE_TYPE(NO_THROTTLE, answers, ErrorCode.NONE)

    async def list_groups(self, request: Any, peer: Peer) -> Any:
        groups = [(group.name, group.protocol_type) for group in self._groups.all()]
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE, groups)

    async def describe_groups(self, request: Any, peer: Peer) -> Any:
        return request.RESPONSE_TYPE(NO_THROTTLE, [self._describe(name) for name in request.groups])

    def _describe(self, name: str) -> tuple[Any, ...]:
        group = self._groups.find(name)
        if group is None:
            return ErrorCode.NONE, name, "Dead", "", "", []
        members = [
            (m.id, m.client_id, m.address, m.protocols.get(group.protocol, b""), m.assignment)
            for m in group.members.values()
        ]
        return ErrorCode.NONE, name, group.phase, group.protocol_type, group.protocol, members
