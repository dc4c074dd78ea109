"""What happens to a record that fails: what is to blame, how often it is tried, that it is set aside once."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.dead_letters import MOST_BYTES, Cause, headers_of, letters_in, replayed_headers
from shared.errors import Stale
from shared.events import Control
from shared.records import Records, passes
from shared.stores.database import DuplicateKeyError, OperationFailure
from tests.unit.recording_publisher import RecordingPublisher

GOOD = Control(run_id="run_1", thread_id="thread_1").model_dump_json().encode()


class Aside(RecordingPublisher):
    """Its broker refuses the first ``refusals`` records."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__()
        self.refusals = refusals
        self.letters: list[tuple[Any, Cause]] = []

    async def set_aside(self, record: Any, cause: Cause) -> bool:
        self.refusals -= 1
        if self.refusals < 0:
            self.letters.append((record, cause))
        return self.refusals < 0


class Handler:
    """Fails as it is told to, then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tried = self.handled = self.given_up = 0

    async def handle(self, message: Control) -> None:
        self.tried += 1
        if self.failures:
            raise self.failures.pop(0)
        self.handled += 1

    async def give_up(self, message: Control) -> None:
        self.given_up += 1


def record(value: bytes | None = GOOD, offset: int = 7, **more: Any) -> Any:
    plain = {"topic": "t.v1", "partition": 3, "key": b"k", "timestamp": 1000, "headers": ()}
    return SimpleNamespace(value=value, offset=offset, **{**plain, **more})


@pytest.fixture
def taking() -> Callable[..., Records[Control]]:
    def build(handler: Handler, publisher: Aside, tries: int = 3) -> Records[Control]:
        return Records(Control, handler.handle, handler.give_up, publisher, tries=tries, first_pause_s=0.001)

    return build


async def test_what_fails_each_time_is_set_aside_and_given_up(
    taking: Callable[..., Records[Control]],
) -> None:
    handler, publisher = Handler(*[KeyError("x")] * 3), Aside()
    await taking(handler, publisher).take(record())
    [(aside, cause)] = publisher.letters
    assert (aside.offset, cause) == (7, Cause("poisonous", "KeyError: 'x'", 3))
    assert (handler.tried, handler.handled, handler.given_up) == (3, 0, 1)


async def test_what_fails_sometimes_is_handled(taking: Callable[..., Records[Control]]) -> None:
    handler, publisher = Handler(*[KeyError("x")] * 2), Aside()
    await taking(handler, publisher).take(record())
    assert (handler.handled, handler.given_up, publisher.letters) == (1, 0, [])


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError(), ConnectionResetError(), TimeoutError(), Stale("run"), OperationFailure("", 91)],
)
async def test_an_outage_never_counts(taking: Callable[..., Records[Control]], error: Exception) -> None:
    handler, publisher = Handler(*[error] * 12, KeyError("x")), Aside()
    await taking(handler, publisher).take(record())
    assert (handler.tried, handler.handled, publisher.letters) == (14, 1, [])


def test_what_is_wrong_with_a_document_is_no_outage() -> None:
    assert not passes(DuplicateKeyError("same"))
    assert not passes(OperationFailure("unknown operator", 9))


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"[]", b'{"run_id": 1}', b'{"run_id": "run_1"'])
async def test_what_cannot_be_read_is_set_aside_untried(
    taking: Callable[..., Records[Control]], value: bytes | None
) -> None:
    handler, publisher = Handler(), Aside()
    await taking(handler, publisher).take(record(value))
    [(_, cause)] = publisher.letters
    assert (cause.reason, cause.attempts, handler.tried, handler.given_up) == ("malformed", 1, 0, 0)


async def test_a_record_that_comes_again_is_not_set_aside_again(
    taking: Callable[..., Records[Control]],
) -> None:
    publisher = Aside()
    take = taking(Handler(), publisher).take
    for _ in range(3):
        await take(record(b"x"))
    await take(record(b"x", offset=8))
    assert [aside.offset for aside, _ in publisher.letters] == [7, 8]


async def test_nothing_is_lost_while_the_broker_takes_no_letter(
    taking: Callable[..., Records[Control]],
) -> None:
    publisher = Aside(refusals=5)
    await taking(Handler(), publisher).take(record(b"x"))
    assert len(publisher.letters) == 1


def letter_of(source: Any, cause: Cause, timestamp: int = 1) -> Any:
    headers = tuple(headers_of(source, cause, 0.0))
    return record((source.value or b"")[:MOST_BYTES], headers=headers, timestamp=timestamp)


def test_a_letter_tells_where_from_why_and_when_and_keeps_the_record_s_own_headers() -> None:
    source = record(headers=(("traceparent", b"00-1"),))
    [letter] = letters_in([letter_of(source, Cause("poisonous", "KeyError: 'x'", 5))])
    assert (letter.topic, letter.partition, letter.offset, letter.key) == ("t.v1", 3, 7, b"k")
    assert letter.cause == Cause("poisonous", "KeyError: 'x'", 5)
    assert (letter.at, letter.value, letter.cut) == ("1970-01-01T00:00:00.000+00:00", GOOD, 0)
    assert letter.headers == [("traceparent", b"00-1")]
    [cut] = letters_in([letter_of(record(b"x" * 1_000_000), Cause("malformed", "", 1))])
    assert (cut.cut, len(cut.value)) == (1_000_000, MOST_BYTES)


def test_a_letter_is_shown_once_and_says_whether_it_was_put_back() -> None:
    cause = Cause("malformed", "no JSON", 1)
    twice = [letter_of(record(b"x"), cause, timestamp) for timestamp in (1, 2)]
    other = letter_of(record(b"x", offset=8), cause, 3)
    [first, second] = letters_in([other, *twice])
    assert [(each.offset, each.replayed) for each in (first, second)] == [(7, False), (8, False)]
    said = record(b"", headers=tuple(replayed_headers(first, 0.0)), timestamp=4)
    assert [each.replayed for each in letters_in([said, *twice, other])] == [True, False]
    assert letters_in([record(headers=(("someone", b"else's"),))]) == []
