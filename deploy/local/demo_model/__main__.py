"""``python -m deploy.local.demo_model --port 8900``"""

import argparse
import logging
import signal

import uvicorn

from deploy.local.demo_model.app import build_app

_DRAIN_S = 3  # how long open streams may go on after SIGTERM


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo_model", description="Threadmill's scripted demo model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunk-delay-ms", type=float, default=0.0, help="pause after each streamed chunk")
    options = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = build_app(chunk_delay_s=options.chunk_delay_ms / 1000)
    # Once it has drained, uvicorn raises the signal that stopped it again: then it shall end
    # the process with code 0, not as killed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )


if __name__ == "__main__":
    main()
