"""The command ``threadmill dead`` as a person uses it, and records as anybody may send them."""

from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.arguments import read
from deploy.local.dead import dead
from tests.eventually import eventually


@dataclass
class Dead:
    """``rows`` are those of ``dead list``, without the heading."""

    bootstrap: str
    prefix: str
    capsys: pytest.CaptureFixture[str]

    async def run(self, *words: str, code: int = 0) -> str:
        where = ("--kafka", self.bootstrap, "--prefix", self.prefix)
        self.capsys.readouterr()
        ended = await dead(read(["dead", *words, *where], {}))
        said = self.capsys.readouterr()
        assert ended == code, said.err
        return said.err if code else said.out

    async def rows(self) -> list[list[str]]:
        lines = (await self.run("list")).splitlines()
        return [line.split() for line in lines[1:]]

    async def until(self, count: int, *, within_s: float = 60) -> list[list[str]]:
        """Wait until there are so many letters."""

        async def there() -> list[list[str]] | None:
            rows = await self.rows()
            return rows if len(rows) >= count else None

        rows = await eventually(there, within_s=within_s)
        assert len(rows) == count, rows
        return rows

    async def send(self, topic: str, *values: bytes, key: bytes = b"k") -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for value in values:
                headers = [("traceparent", b"00-1")]
                await producer.send_and_wait(self.prefix + topic, value, key=key, headers=headers)
