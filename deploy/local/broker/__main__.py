"""``python -m deploy.local.broker``: serve until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import signal

import uvloop

from deploy.local.broker.server import Broker, Options


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvloop.run(serve(read_options()))


async def serve(options: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Broker(options):
        await stop.wait()


def read_options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.broker",
        description="A small Kafka-protocol broker in memory, for development and tests on one machine.",
    )
    parser.add_argument("--host", default=Options.host)
    parser.add_argument("--port", type=int, default=Options.port, help="0 takes any that is free")
    parser.add_argument("--default-partitions", type=int, default=Options.default_partitions)
    parser.add_argument(
        "--create-unknown-topics", action="store_true", help="as Kafka's auto.create.topics.enable"
    )
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
