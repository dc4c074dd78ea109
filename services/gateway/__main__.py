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
    state = app.state
    serve(
        app, settings, on_close=state.close_connections, on_stop=state.end_streams, drain_s=settings.drain_s
    )


if __name__ == "__main__":
    main()
