"""How far a run is published is said of the broker that took it, not of the one that came after it."""

from collections.abc import Sequence

from shared.publisher import Publisher, Record
from shared.settings import ServiceSettings
from tests.unit.run_samples import QUEUED, WRITING


class Overtaken(Publisher):
    """Another broker is seen while records are on their way."""

    async def _deliver(self, records: Sequence[Record]) -> bool:
        self.sent = len(records)
        self.generation = "new"
        return True


async def test_a_broker_that_comes_meanwhile_counts_as_having_nothing() -> None:
    publisher = Overtaken(ServiceSettings(), client_id="test")
    publisher.generation = "old"
    first = await publisher.announce(QUEUED)
    assert (first.published.generation, first.published.n) == ("old", len(QUEUED.events))
    again = await publisher.announce(WRITING.evolve(published=first.published))
    assert (again.published.generation, publisher.sent) == ("new", len(WRITING.events))
