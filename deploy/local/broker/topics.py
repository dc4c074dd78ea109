"""The topics of this broker and their configs."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.local.broker.errors import ErrorCode, Refused
from deploy.local.broker.log import Limits, PartitionLog

NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
MOST_PARTITIONS = 10_000
UNLIMITED = -1

ENFORCED_CONFIGS = {
    "retention.ms": str(7 * 24 * 3600 * 1000),
    "retention.bytes": str(64 * 2**20),  # Kafka's default is unlimited, but this is our memory
    "segment.bytes": str(2**20),
    "max.message.bytes": str(2**20 + 12),
}
# Kept and given back, but without effect. Any other name is refused, as Kafka does.
OTHER_CONFIGS = {
    "cleanup.policy": "delete",  # "compact": nothing is compacted, nor deleted
    "compression.type": "producer",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": "9223372036854775807",
    "flush.ms": "9223372036854775807",
    "max.compaction.lag.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
DEFAULT_CONFIGS = ENFORCED_CONFIGS | OTHER_CONFIGS


@dataclass
class Topic:
    name: str
    configs: dict[str, str]  # those that were given
    partitions: list[PartitionLog]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Topics:
    def __init__(self, *, default_partitions: int) -> None:
        self._topics: dict[str, Topic] = {}
        self._default_partitions = default_partitions

    def names(self) -> list[str]:
        return list(self._topics)

    def get(self, name: str) -> Topic:
        """Raises Refused."""
        if not is_name(name):
            raise Refused(ErrorCode.INVALID_TOPIC, f"{name!r} is not a topic name")
        if name not in self._topics:
            raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name}")
        return self._topics[name]

    def log(self, name: str, partition: int) -> PartitionLog:
        """Raises Refused."""
        partitions = self.get(name).partitions
        if not 0 <= partition < len(partitions):
            raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return partitions[partition]

    def create(
        self, name: str, partitions: int = -1, configs: Mapping[str, str] | None = None, *, dry: bool = False
    ) -> None:
        """``partitions`` of -1 means the default number. Raises Refused."""
        if not is_name(name):
            raise Refused(ErrorCode.INVALID_TOPIC, f"{name!r} is not a topic name")
        if name in self._topics:
            raise Refused(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name} already exists")
        count = self._default_partitions if partitions == -1 else partitions
        _check_count(count)
        limits = _limits(configs or {})
        if not dry:
            logs = [PartitionLog(limits) for _ in range(count)]
            self._topics[name] = Topic(name, dict(configs or {}), logs)

    def grow(self, name: str, count: int, *, dry: bool = False) -> None:
        """Raises Refused."""
        topic = self.get(name)
        _check_count(count)
        missing = count - len(topic.partitions)
        if missing < 1:
            raise Refused(ErrorCode.INVALID_PARTITIONS, f"topic {name} has {len(topic.partitions)} already")
        if not dry:
            limits = topic.partitions[0].limits
            topic.partitions.extend(PartitionLog(limits) for _ in range(missing))

    def delete(self, name: str) -> None:
        """Whoever waits for the topic's records is woken, to find it gone. Raises Refused."""
        topic = self.get(name)
        del self._topics[name]
        for log in topic.partitions:
            log.wake()

    def trim(self) -> None:
        for log in self._all_logs():
            log.trim(now_ms())

    def _all_logs(self) -> Iterable[PartitionLog]:
        return (log for topic in self._topics.values() for log in topic.partitions)


def is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and name not in {".", ".."}


def _check_count(partitions: int) -> None:
    if not 1 <= partitions <= MOST_PARTITIONS:
        raise Refused(
            ErrorCode.INVALID_PARTITIONS, f"{partitions} partitions: 1 to {MOST_PARTITIONS} are possible"
        )


def _limits(configs: Mapping[str, str]) -> Limits:
    """Raises Refused."""
    if unknown := configs.keys() - DEFAULT_CONFIGS.keys():
        raise Refused(ErrorCode.INVALID_CONFIG, f"unknown topic config: {', '.join(sorted(unknown))}")
    effective = {**DEFAULT_CONFIGS, **configs}
    try:
        retention_ms, retention_bytes, segment_bytes, max_message_bytes = (
            int(effective[name]) for name in ENFORCED_CONFIGS
        )
    except (TypeError, ValueError) as error:
        raise Refused(ErrorCode.INVALID_CONFIG, str(error)) from error
    if "delete" not in effective["cleanup.policy"]:
        retention_ms = retention_bytes = UNLIMITED
    return Limits(retention_ms, retention_bytes, segment_bytes, max_message_bytes)
