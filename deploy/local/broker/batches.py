"""A record batch (format v2) as it arrives, kept as bytes: only its first 16 bytes are ever written."""

import struct
from typing import NamedTuple, Self

from aiokafka.record.util import calc_crc32c

from deploy.local.broker.errors import ErrorCode, Refused

# base offset, length, leader epoch, magic, crc, attributes, last offset delta, base timestamp,
# max timestamp, producer id, producer epoch, base sequence, record count
HEADER = struct.Struct(">qiibIhiqqqhii")
LENGTH_COUNTS_FROM = 12  # the length field does not count itself nor the base offset
CRC_COVERS_FROM = 21  # so base offset and leader epoch can be stamped
STAMP = struct.Struct(">qii")
MAGIC = 2
TRANSACTIONAL_OR_CONTROL = 0x10 | 0x20


class Batch(NamedTuple):
    data: bytes
    record_count: int
    max_timestamp: int
    producer_id: int  # -1: the producer is not idempotent
    producer_epoch: int
    base_sequence: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Check one batch as a producer sent it. Raises Refused."""
        if len(data) < HEADER.size:
            raise Refused(ErrorCode.CORRUPT_MESSAGE)
        (_, length, _, magic, crc, attributes, last_delta, _, max_timestamp, *producer, count) = (
            HEADER.unpack_from(data)
        )
        if magic != MAGIC or length + LENGTH_COUNTS_FROM < len(data):
            raise Refused(ErrorCode.INVALID_RECORD, "exactly one batch of format v2 a partition")
        if length + LENGTH_COUNTS_FROM > len(data) or calc_crc32c(data[CRC_COVERS_FROM:]) != crc:
            raise Refused(ErrorCode.CORRUPT_MESSAGE)
        if count < 1 or count != last_delta + 1:
            raise Refused(ErrorCode.INVALID_RECORD, "record count and last offset differ")
        if attributes & TRANSACTIONAL_OR_CONTROL:
            raise Refused(ErrorCode.INVALID_TXN_STATE, "this broker speaks no transactions")
        return cls(data, count, max_timestamp, *producer)

    def stamped(self, base_offset: int) -> bytes:
        """The bytes to store: the same, with their place in the log."""
        length = len(self.data) - LENGTH_COUNTS_FROM
        return STAMP.pack(base_offset, length, 0) + self.data[STAMP.size :]
