"""The OpenAPI document: valid, and the copy in the repository is the one that the code makes."""

import json
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

from services.gateway.openapi import text

COPY = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_document_is_valid_openapi() -> None:
    validate(json.loads(text()))


def test_the_copy_is_up_to_date() -> None:
    assert COPY.read_text() == text(), "python -m services.gateway.openapi > docs/openapi.json"


def test_every_operation_of_the_api_says_what_it_takes_and_gives() -> None:
    document = json.loads(text())
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/")
    }
    assert len(operations) == 56
    for (method, path), operation in operations.items():
        where = f"{method} {path}"
        [content] = operation["responses"]["200"]["content"].values() if not streams(operation) else [None]
        assert content is None or content["schema"], where
        headers = [each for each in operation.get("parameters", ()) if each["name"] == "OpenAI-Beta"]
        assert bool(headers) is not path.startswith(("/v1/files", "/v1/models")), where
        optional = path.startswith("/v1/vector_stores")
        assert all(header["required"] is not optional for header in headers), where
        bodiless = path.endswith("/cancel") or method != "post"
        assert ("requestBody" in operation) is not bodiless, where
        assert "422" not in operation["responses"], where


def streams(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"]["200"]["content"]
