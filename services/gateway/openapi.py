"""``python -m services.gateway.openapi``: print the OpenAPI document; ``docs/openapi.json`` is a copy."""

import json
import sys

from services.gateway.app import build_app
from services.gateway.settings import Settings


def text() -> str:
    return json.dumps(build_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
