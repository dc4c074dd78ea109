"""``python -m services.gateway``"""

from services.gateway.app import build_app
from services.gateway.settings import Settings
from shared import logs
from shared.process import serve
from shared.settings import load


def main() -> None:
    settings = load(Settings)
    logs.configure("gateway", settings.log_level)
    app = build_app(settings)
    serve(app, settings, on_stop=app.state.end_streams)


if __name__ == "__main__":
    main()
