"""``python -m services.run_orchestrator``"""

from services.run_orchestrator.app import build_app
from services.run_orchestrator.settings import Settings
from shared import logs, process, settings


def main() -> None:
    loaded = settings.load(Settings)
    logs.configure("run_orchestrator", loaded.log_level)
    process.serve(build_app(loaded), loaded)


if __name__ == "__main__":
    main()
