"""The broker: a TCP server around topics and groups, with a small housekeeper."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Self

from deploy.local.broker.connection import Connection
from deploy.local.broker.group_requests import GroupRequests
from deploy.local.broker.groups import Groups
from deploy.local.broker.record_requests import RecordRequests
from deploy.local.broker.topic_requests import TopicRequests
from deploy.local.broker.topics import Topics
from deploy.local.broker.wire import Dialect

logger = logging.getLogger(__name__)

EVICTION_EVERY_S = 0.1
RETENTION_EVERY_ROUNDS = 5  # of eviction


@dataclass(frozen=True)
class Options:
    host: str = "127.0.0.1"
    port: int = 9092  # 0: any that is free
    default_partitions: int = 3
    create_unknown_topics: bool = False
    max_request_bytes: int = 100 * 2**20


class Broker:
    """``async with Broker(Options()) as broker``: it serves until the block is left, and forgets all."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._topics = Topics(default_partitions=options.default_partitions)
        self._groups = Groups()
        about_topics = TopicRequests(
            self._topics, self._groups, create_unknown_topics=options.create_unknown_topics
        )
        self.cluster_id = about_topics.cluster_id
        self._dialect = Dialect(
            {
                **RecordRequests(self._topics).handlers(),
                **about_topics.handlers(),
                **GroupRequests(self._groups, self._topics).handlers(),
            }
        )
        self._connections: set[Connection] = set()

    async def __aenter__(self) -> Self:
        """Raises OSError: the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connect, self._options.host, self._options.port, backlog=512
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._housekeeping = loop.create_task(self._keep_house())
        logger.warning("in-memory broker for development and tests: nothing is kept when it stops")
        logger.info("listening on %s:%d, cluster id %s", self._options.host, self.port, self.cluster_id)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._housekeeping.cancel()
        self._server.close()
        await asyncio.gather(*(connection.close() for connection in self._connections))
        await self._server.wait_closed()
        logger.info("stopped")

    def _connect(self) -> Connection:
        return Connection(self._dialect, self._connections, max_request_bytes=self._options.max_request_bytes)

    async def _keep_house(self) -> None:
        round_number = 0
        while True:
            await asyncio.sleep(EVICTION_EVERY_S)
            round_number += 1
            try:
                self._evict_silent_members()
                if round_number % RETENTION_EVERY_ROUNDS == 0:
                    self._topics.trim()
                    self._groups.drop_unused()
            except Exception:
                logger.exception("housekeeping failed, and goes on")

    def _evict_silent_members(self) -> None:
        for group in self._groups.all():
            for member_id in group.evict_silent_members():
                logger.info("group %s: %s was silent for too long and is out", group.name, member_id)
