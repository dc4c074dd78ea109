"""The engine that the settings name."""

from services.tool_retrieval.index.index import Index
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.settings import Settings


def index_for(settings: Settings) -> Index:
    """Return the engine; it opens itself when it is first needed."""
    if settings.index == "milvus":
        from services.tool_retrieval.index.milvus import MilvusIndex

        token = settings.milvus_token.get_secret_value()
        return MilvusIndex(str(settings.milvus_url), token, settings.milvus_analyzer)
    options = None
    if settings.index_url.startswith("s3://"):
        options = {
            "aws_region": settings.s3_region,
            "aws_access_key_id": settings.s3_access_key.get_secret_value(),
            "aws_secret_access_key": settings.s3_secret_key.get_secret_value(),
        }
        if settings.s3_endpoint:
            options |= {"aws_endpoint": str(settings.s3_endpoint).rstrip("/"), "allow_http": "true"}
    return LanceIndex(settings.index_url, {name: value for name, value in (options or {}).items() if value})
