"""What a partition remembers of its idempotent producers, to store each of their batches once."""

from collections import deque
from dataclasses import dataclass, field

from deploy.local.broker.batches import Batch
from deploy.local.broker.errors import ErrorCode, Refused

REMEMBERED_BATCHES = 5  # as many as a client may have in flight
REMEMBERED_PRODUCERS = 1000  # a partition; the longest silent is forgotten first
SEQUENCES = 2**31


@dataclass
class Producer:
    epoch: int
    next_sequence: int
    offsets: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))
    """First sequence, record count and offset of the last batches."""


class Producers:
    def __init__(self) -> None:
        self._producers: dict[int, Producer] = {}

    def offset_of_repeat(self, batch: Batch) -> int | None:
        """Where this very batch was stored before; None if it is the next one.

        Raises:
            Refused: it is neither, or its producer was replaced by one with a newer epoch.
        """
        known = self._producers.get(batch.producer_id)
        if batch.producer_id < 0 or known is None:
            return None  # the start of a producer, or retention or a restart made us forget it
        if batch.producer_epoch < known.epoch:
            raise Refused(ErrorCode.INVALID_PRODUCER_EPOCH)
        if batch.producer_epoch > known.epoch:
            expected = 0
        else:
            expected = known.next_sequence
            for sequence, count, offset in known.offsets:
                if (sequence, count) == (batch.base_sequence, batch.record_count):
                    return offset
        if batch.base_sequence != expected:
            raise Refused(ErrorCode.OUT_OF_ORDER_SEQUENCE)
        return None

    def remember(self, batch: Batch, offset: int) -> None:
        if batch.producer_id < 0:
            return
        known = self._producers.pop(batch.producer_id, None)
        if known is None or known.epoch != batch.producer_epoch:
            known = Producer(batch.producer_epoch, 0)
        known.next_sequence = (batch.base_sequence + batch.record_count) % SEQUENCES
        known.offsets.append((batch.base_sequence, batch.record_count, offset))
        self._producers[batch.producer_id] = known  # at the end: the dict is ordered by last use
        if len(self._producers) > REMEMBERED_PRODUCERS:
            del self._producers[next(iter(self._producers))]
