"""The command line."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_DATA = Path(".threadmill/data")
DEFAULT_PORT = 8080
SERVICES = ("gateway", "run_orchestrator", "tool_code", "tool_retrieval")
DEFAULT_LEVEL = "warning"
LEVELS = ("debug", "info", "warning", "error")


def read(arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """Parse ``arguments``; prints a message and raises SystemExit(2) when they make no sense."""
    parser = argparse.ArgumentParser(
        prog="threadmill", description="An open server for the Assistants API, on your own machine and model."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="start everything on this machine", description=UP), environ)
    demo = commands.add_parser("demo", help="hold a short conversation with a running server")
    demo.add_argument("--base-url", metavar="URL", help="default: of the server that runs on the data folder")
    _add_access(demo, environ)
    _add_keys(commands.add_parser("keys", help="make, show and revoke API keys", description=KEYS))
    _add_dead(
        commands.add_parser("dead", help="show and replay records that were set aside", description=DEAD)
    )
    _add_operation(commands)
    _add_why(commands.add_parser("why", help="say why a run is where it is", description=WHY))
    commands.add_parser("version", help="print the version")
    return parser.parse_args(arguments)


UP = """Start Threadmill with all that it needs as processes on this machine: an embedded store, an
in-memory broker, a scripted demo model (unless you name a real one) and the services. Ctrl-C stops all
of it; the data stays. Logs go to standard error."""


def _add_up(up: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    up.add_argument("--host", default="127.0.0.1", help="where the API listens (%(default)s)")
    up.add_argument("--port", type=_port, default=DEFAULT_PORT, help="of the API (%(default)s)")
    _add_access(up, environ)
    up.add_argument("--kafka", metavar="BOOTSTRAP", help="use this Kafka (host:port,...), start no broker")
    up.add_argument("--mongo", metavar="URL", help="use this MongoDB, start no store")
    up.add_argument("--sync", action="store_true", help="wait for the disk at each write: for power cuts")
    up.add_argument(
        "--model-url",
        metavar="URL",
        type=_http_url,
        help="an OpenAI-compatible chat completions server, as http://localhost:8000/v1 "
        "(default: $OPENAI_BASE_URL, else the demo model)",
    )
    up.add_argument("--model-api-key", metavar="KEY", help="for that server (default: $OPENAI_API_KEY)")
    up.add_argument(
        "--model-alias",
        metavar="FROM=TO",
        type=_alias,
        action="append",
        default=[],
        help="the model that answers when a client asks for FROM; '*' is every other (repeatable)",
    )
    up.add_argument(
        "--sandbox",
        choices=("auto", "docker", "bwrap", "landlock"),
        default="auto",
        help="how the assistants' code is confined (%(default)s)",
    )
    up.add_argument("--no-demo", action="store_true", help="leave out the conversation of the first start")
    up.add_argument("--log-level", choices=LEVELS, default=DEFAULT_LEVEL, help="of services (%(default)s)")
    up.add_argument("--log-format", choices=("text", "json"), default="text", help="(%(default)s)")


def _add_access(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default=environ.get("THREADMILL_API_KEY", ""),
        help="the key of the API (default: $THREADMILL_API_KEY, else the one kept in the data folder)",
    )
    _add_data(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="the data folder (%(default)s)"
    )


KEYS = """API keys in the store, each for one project. Without --mongo, of the server that runs on the data
folder. The pepper that keys are stored with is $THREADMILL_KEY_PEPPER, else the one in the data folder."""


def _add_keys(keys: argparse.ArgumentParser) -> None:
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key, and print it once")
    create.add_argument("--project", default="default", help="whose objects it opens (%(default)s)")
    create.add_argument("--name", default="", help="what you call it")
    create.add_argument(
        "--scope",
        action="append",
        choices=("read", "write", "admin"),
        help="what it may (repeatable; default: read and write)",
    )
    create.add_argument("--expires-in-days", type=_count, metavar="N", help="(default: never)")
    for name in ("requests-per-minute", "tokens-per-minute", "concurrent-runs"):
        create.add_argument(f"--{name}", type=_count, metavar="N", help="0: no limit (default: the server's)")
    revoke = actions.add_parser("revoke", help="let a key open nothing any more")
    revoke.add_argument("kid", metavar="KID", help="as `list` shows it")
    for action in (create, actions.add_parser("list", help="show all keys"), revoke):
        action.add_argument("--mongo", metavar="URL", help="the MongoDB of the server")
        action.add_argument("--database", default="threadmill", help="in that MongoDB (%(default)s)")
        _add_data(action)


DEAD = """Dead letters: records that no service could read, or that failed each time. Without --kafka, those
of the server that runs on the data folder. A letter's ID is where it came from: topic/partition/offset."""


def _add_dead(dead: argparse.ArgumentParser) -> None:
    actions = dead.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show what was set aside, and why; the oldest first")
    show = actions.add_parser("show", help="show one record, whole")
    show.add_argument("id", metavar="ID", help="as `list` shows it")
    replay = actions.add_parser("replay", help="put records back on their topic; what was done stays done")
    replay.add_argument("id", metavar="ID", nargs="*", help="as `list` shows it")
    replay.add_argument("--all", action="store_true", help="every one that was not replayed yet")
    for action in (listing, show, replay):
        action.add_argument("--kafka", metavar="BOOTSTRAP", help="the broker (host:port,...)")
        action.add_argument("--prefix", default="threadmill.", help="of the topics (%(default)s)")
        _add_data(action)


DOCTOR = """Looks at what the services need, with their settings from the environment (THREADMILL_...),
and says in a line each what is there and what is wrong. Exit code 1: something is bad."""
ACCESS = """Prints who may do what, a principal and a role for each service: commands for kafka-acls.sh
(NAME is the prefix of the topics), or for mongosh (NAME is the database)."""


def _add_operation(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser("doctor", help="check a deployment", description=DOCTOR)
    doctor.add_argument(
        "--service",
        action="append",
        choices=SERVICES,
        help="whose settings are in the environment (repeatable; default: all)",
    )
    doctor.add_argument(
        "--probe", metavar="URL", type=_http_url, action="append", default=[], help="of a running service"
    )
    topics = commands.add_parser("topics", help="make the topics on the Kafka of the environment")
    topics.add_argument("action", choices=("create",))
    access = commands.add_parser("access", help="print access rules for Kafka or MongoDB", description=ACCESS)
    access.add_argument("store", choices=("kafka", "mongo"))
    access.add_argument("name", metavar="NAME", help="prefix of the topics, or the database")


WHY = """Why a run is where it is, read from the store itself: it answers also while no service runs. Without
--mongo, the store of the server that runs on the data folder."""


def _add_why(why: argparse.ArgumentParser) -> None:
    why.add_argument("run", metavar="RUN", help="its id")
    why.add_argument("--mongo", metavar="URL", help="the MongoDB of the server")
    why.add_argument("--database", default="threadmill", help="in that MongoDB (%(default)s)")
    why.add_argument("--kafka", metavar="BOOTSTRAP", help="the broker (host:port,...), for the lag")
    why.add_argument("--prefix", default="threadmill.", help="of the topics (%(default)s)")
    _add_data(why)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http(s) address")
    return text


def _alias(text: str) -> tuple[str, str]:
    asked, equals, served = text.partition("=")
    if not (asked and equals and served):
        raise argparse.ArgumentTypeError(f"{text!r} is not FROM=TO")
    return asked, served
