"""``python -m services.tool_code``"""

from services.tool_code.app import build_app
from services.tool_code.settings import Settings
from shared import logs, process, settings, tracing

SERVICE = "tool_code"


def main() -> None:
    loaded = settings.load(Settings)
    logs.configure(SERVICE, loaded.log_level)
    tracing.configure(SERVICE, loaded)
    process.serve(build_app(loaded), loaded)


if __name__ == "__main__":
    main()
