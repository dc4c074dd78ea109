"""``python -m services.run_orchestrator``"""

from services.run_orchestrator.app import build_app
from services.run_orchestrator.settings import Settings
from shared import logs, process, settings, tracing

SERVICE = "run_orchestrator"


def main() -> None:
    loaded = settings.load(Settings)
    logs.configure(SERVICE, loaded.log_level)
    tracing.configure(SERVICE, loaded)
    process.serve(build_app(loaded), loaded)


if __name__ == "__main__":
    main()
