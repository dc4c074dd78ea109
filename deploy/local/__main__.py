"""``threadmill``: the command for one machine."""

import asyncio
import os
import sys

from deploy.local import arguments
from deploy.local.demo import demo
from deploy.local.up import up
from shared.version import VERSION


def main() -> None:
    options = arguments.read(sys.argv[1:], os.environ)
    match options.command:
        case "up":
            sys.exit(asyncio.run(up(options, dict(os.environ))))
        case "demo":
            try:
                sys.exit(asyncio.run(demo(options)))
            except KeyboardInterrupt:
                sys.exit(130)
        case "keys":
            from deploy.local.keys import keys  # with the store's driver, which takes long to import

            sys.exit(asyncio.run(keys(options, os.environ)))
        case "dead":
            from deploy.local.dead import dead  # with Kafka's client

            sys.exit(asyncio.run(dead(options)))
        case "topics":
            from deploy.operate import topics

            sys.exit(topics.create())
        case "access":
            from deploy.operate import access

            sys.stdout.write(access.script(options.store, options.name))
        case "doctor":
            from deploy.operate.doctor import doctor

            sys.exit(asyncio.run(doctor(options.service or arguments.SERVICES, options.probe)))
        case "why":
            from deploy.local.why import why

            sys.exit(asyncio.run(why(options)))
        case "version":
            sys.stdout.write(f"threadmill {VERSION}\n")


if __name__ == "__main__":
    main()
