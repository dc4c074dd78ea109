"""``python -m services.tool_retrieval``"""

from services.tool_retrieval.app import build_app
from services.tool_retrieval.settings import Settings
from shared import logs, process, settings, tracing

SERVICE = "tool_retrieval"


def main() -> None:
    loaded = settings.load(Settings)
    logs.configure(SERVICE, loaded.log_level)
    tracing.configure(SERVICE, loaded)
    process.serve(build_app(loaded), loaded)


if __name__ == "__main__":
    main()
