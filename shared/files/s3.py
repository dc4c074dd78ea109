"""Bytes in a bucket of any S3-compatible storage. Needs the extra ``s3``."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import Unavailable
from shared.files.settings import FileSettings
from shared.files.storage import BytesMissing, in_blocks

PART_BYTES = 8 << 20  # S3 takes no less than 5 MiB, and no more than 10,000 parts
READ_BYTES = 1 << 20
AWAY = "The server is temporarily unable to reach its files. Please try again shortly."
MISSING = ("NoSuchKey", "NoSuchUpload", "404")


class S3Storage:
    """What fits into one part is one object from the start; more is put together part by part."""

    def __init__(self, settings: FileSettings) -> None:
        self._bucket = settings.s3_bucket
        self._prefix = settings.s3_prefix
        self._connect = get_session().create_client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=str(settings.s3_endpoint) if settings.s3_endpoint else None,
            aws_access_key_id=settings.s3_access_key.get_secret_value() or None,  # None: from the machine
            aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
            config=AioConfig(connect_timeout=5, read_timeout=30, s3={"addressing_style": "path"}),
        )
        self._open = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = await self._open.enter_async_context(self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        where = {"Bucket": self._bucket, "Key": self._prefix + key}
        blocks = in_blocks(chunks, PART_BYTES)
        first = await anext(blocks, b"")
        if len(first) < PART_BYTES:
            async with _answering(key):
                await self._client.put_object(**where, Body=first)
            return len(first)
        async with _answering(key):
            upload = await self._client.create_multipart_upload(**where)
        where["UploadId"] = upload["UploadId"]
        length, parts = 0, []
        async for number, block in _numbered(first, blocks):
            async with _answering(key):
                part = await self._client.upload_part(**where, PartNumber=number, Body=block)
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
            length += len(block)
        async with _answering(key):
            await self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        return length

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        async with _answering(key):
            found = await self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        async with found["Body"] as body:
            while True:
                async with _answering(key):
                    block = await body.read(READ_BYTES)
                if not block:
                    return
                yield block

    async def delete(self, key: str) -> None:
        name = self._prefix + key
        async with _answering(key):
            started = await self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=name)
            for upload in started.get("Uploads", ()):
                if upload["Key"] == name:
                    await self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=name, UploadId=upload["UploadId"]
                    )
            await self._client.delete_object(Bucket=self._bucket, Key=name)


async def _numbered(first: bytes, rest: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    yield 1, first
    number = 1
    async for block in rest:
        number += 1
        yield number, block


@asynccontextmanager
async def _answering(key: str) -> AsyncIterator[None]:
    """What the storage answers, in the words of the interface."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            raise BytesMissing(key) from error
        raise Unavailable(AWAY) from error
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise Unavailable(AWAY) from error
