"""``python -m services.gateway``"""

from services.gateway.app import build_app
from services.gateway.settings import Settings
from shared import logs, metrics, tracing
from shared.process import serve
from shared.settings import load

SERVICE = "gateway"


def main() -> None:
    settings = load(Settings)
    logs.configure(SERVICE, settings.log_level)
    tracing.configure(SERVICE, settings)
    if settings.metrics_port:
        metrics.start_http_server(settings.metrics_port, settings.host)
    app = build_app(settings)
    serve(app, settings, on_stop=app.state.end_streams)


if __name__ == "__main__":
    main()
