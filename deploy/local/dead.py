"""``threadmill dead``: look at the records that were set aside, and put them back on their topics."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from deploy.local.folder import DataFolder
from deploy.local.table import table
from shared.dead_letters import DeadLetter, letters_in, replayed_headers
from shared.kafka import connect_admin, connection, start
from shared.settings import ServiceSettings
from shared.topics import DEAD_LETTER_SUFFIX, WORK

COLUMNS = ("ID", "REASON", "TRIES", "SET ASIDE", "STATE", "ERROR")
SHOWN_CHARACTERS = 100  # of an error in the list
PATIENCE_S = 30.0


class DeadError(Exception):
    """It cannot be done; the message says why."""


async def dead(arguments: argparse.Namespace) -> int:
    """Run one of the commands, and return the exit code."""
    try:
        # who asks, where the broker wants to know, is in the environment
        settings = ServiceSettings(kafka_bootstrap=broker_of(arguments))
        async with asyncio.timeout(PATIENCE_S):
            letters = await read(settings, arguments.prefix)
            match arguments.action:
                case "list":
                    show_all(letters, arguments.prefix)
                case "show":
                    show(find(letters, arguments.id, arguments.prefix))
                case "replay":
                    await replay(settings, chosen(letters, arguments), arguments.prefix)
    except TimeoutError:
        return _fail(f"the broker did not answer within {PATIENCE_S:.0f} s")
    except (DeadError, KafkaError, OSError) as error:
        return _fail(str(error))
    return 0


def broker_of(arguments: argparse.Namespace) -> str:
    """
    Raises:
        DeadError: nobody says where the broker is.
    """
    if arguments.kafka:
        return str(arguments.kafka)
    folder = DataFolder(arguments.data)
    running = folder.running() if folder.in_use() else None
    if running is None or not running.kafka:
        raise DeadError(
            f"nothing runs on {folder.path}; start it (threadmill up), or name a broker with --kafka"
        )
    return running.kafka


async def read(settings: ServiceSettings, prefix: str) -> list[DeadLetter]:
    """Return every dead letter that the broker has."""
    names = [prefix + topic.name + DEAD_LETTER_SUFFIX for topic in WORK]
    admin = await connect_admin(settings)
    try:
        known = await admin.describe_topics(names)
    finally:
        await admin.close()
    partitions = [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in known
        if not topic["error_code"]
        for partition in topic["partitions"]
    ]
    if not partitions:
        raise DeadError(
            f"the broker at {settings.kafka_bootstrap} has no topics named {prefix}*{DEAD_LETTER_SUFFIX}"
        )
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None, enable_auto_commit=False)
    try:
        await start(consumer)
        return letters_in(await _read_all(consumer, partitions))
    finally:
        await consumer.stop()


async def _read_all(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> list[ConsumerRecord]:
    consumer.assign(partitions)
    first, end = await asyncio.gather(
        consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    )
    for partition in partitions:
        consumer.seek(partition, first[partition])
    records: list[ConsumerRecord] = []
    left = [partition for partition in partitions if first[partition] < end[partition]]
    while left:
        for batch in (await consumer.getmany(*left, timeout_ms=1000)).values():
            records += batch
        left = [each for each in left if await consumer.position(each) < end[each]]
    return records


def id_of(letter: DeadLetter, prefix: str) -> str:
    return f"{letter.topic.removeprefix(prefix)}/{letter.partition}/{letter.offset}"


def find(letters: Sequence[DeadLetter], id_: str, prefix: str) -> DeadLetter:
    """
    Raises:
        DeadError: there is no such letter.
    """
    for letter in reversed(letters):  # a broker that forgot its records counts anew
        if id_of(letter, prefix) == id_:
            return letter
    raise DeadError(f"there is no dead letter {id_!r}; `threadmill dead list` shows them")


def chosen(letters: Sequence[DeadLetter], arguments: argparse.Namespace) -> list[DeadLetter]:
    if bool(arguments.id) == arguments.all:
        raise DeadError("name the letters to replay, or say --all")
    if arguments.all:
        return [letter for letter in letters if not letter.replayed and not letter.cut]
    return [find(letters, id_, arguments.prefix) for id_ in arguments.id]


def show_all(letters: Sequence[DeadLetter], prefix: str) -> None:
    if not letters:
        sys.stdout.write("no dead letters\n")
        return
    rows = [
        (
            id_of(letter, prefix),
            letter.cause.reason,
            str(letter.cause.attempts),
            letter.at[:19],
            "replayed" if letter.replayed else "set aside",
            " ".join(letter.cause.error.split())[:SHOWN_CHARACTERS],
        )
        for letter in letters
    ]
    sys.stdout.writelines(line + "\n" for line in table([COLUMNS, *rows]))


def show(letter: DeadLetter) -> None:
    about = {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.cause.reason,
        "error": letter.cause.error,
        "attempts": letter.cause.attempts,
        "set aside": letter.at,
        "replayed": letter.replayed,
        "key": _text(letter.key),
        "headers": {name: _text(value) for name, value in letter.headers},
        "value": _parsed(letter.value),
    }
    if letter.cut:
        about["cut"] = f"only the first {len(letter.value)} of {letter.cut} bytes were kept"
    sys.stdout.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


async def replay(settings: ServiceSettings, letters: Sequence[DeadLetter], prefix: str) -> None:
    """Send each letter to the topic it came from, as it came, and note it."""
    if cut := [id_of(letter, prefix) for letter in letters if letter.cut]:
        raise DeadError(f"{', '.join(cut)}: too long to be kept whole, so it cannot be put back")
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True)
    try:
        await start(producer)
        for letter in letters:
            await producer.send_and_wait(letter.topic, letter.value, key=letter.key, headers=letter.headers)
            noted = replayed_headers(letter, time.time())
            await producer.send_and_wait(
                letter.topic + DEAD_LETTER_SUFFIX, b"", key=letter.key, headers=noted
            )
            sys.stdout.write(f"{id_of(letter, prefix)} is back on its topic\n")
    finally:
        await producer.stop()
    if not letters:
        sys.stdout.write("nothing to replay\n")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _parsed(value: bytes) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return _text(value)


def _fail(why: str) -> int:
    sys.stderr.write(f"threadmill: {why}\n")
    return 1
