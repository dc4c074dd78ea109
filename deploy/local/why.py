"""``threadmill why RUN``: why a run is where it is, from the store and the broker themselves."""

import argparse
import sys

from deploy.local.folder import DataFolder
from deploy.local.keys import KeysError, open_store
from services.gateway.diagnosis import diagnosis, lines, topic_awaited
from services.gateway.lag import lag_of
from shared import clock
from shared.settings import ServiceSettings
from shared.stores.database import PyMongoError
from shared.stores.runs import RunStore
from shared.stores.store_time import look


async def why(arguments: argparse.Namespace) -> int:
    """Print it, and return the exit code. No service needs to run."""
    folder = DataFolder(arguments.data)
    try:
        db = open_store(arguments, folder)
        try:
            run = await RunStore(db).get(arguments.run)
            await look(db)
        finally:
            db.client.close()
    except (KeysError, PyMongoError) as error:
        sys.stderr.write(f"threadmill: {error}\n")
        return 1
    if run is None:
        sys.stderr.write(f"threadmill: there is no run {arguments.run!r} in that store\n")
        return 1
    running = folder.running() if folder.in_use() else None
    bootstrap = arguments.kafka or (running.kafka if running else "")
    topic = topic_awaited(run)
    lag = None
    if bootstrap and topic:
        settings = ServiceSettings(kafka_bootstrap=bootstrap, topic_prefix=arguments.prefix)
        lag = await lag_of(settings, topic)
    now = clock.now()
    sys.stdout.writelines(line + "\n" for line in lines(diagnosis(run, now) | {"lag": lag}, now))
    return 0
