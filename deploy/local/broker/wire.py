"""From the bytes of one request to the bytes of its answer, by way of aiokafka's schemas."""

import struct
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

from aiokafka.protocol.admin import ApiVersionRequest_v0, ApiVersionRequest_v1, ApiVersionRequest_v2

from deploy.local.broker.errors import ErrorCode, ProtocolError

HEADER = struct.Struct(">hhih")  # api key, api version, correlation id, length of the client id
CORRELATION_ID = struct.Struct(">i")
API_VERSIONS_KEY: int = ApiVersionRequest_v0.API_KEY
API_VERSIONS = (ApiVersionRequest_v0, ApiVersionRequest_v1, ApiVersionRequest_v2)


class Peer(NamedTuple):
    """Who asks. ``host`` and ``port`` are our own, as this client reached them: it can do so again."""

    address: str
    host: str
    port: int
    client_id: str = ""


Handler: TypeAlias = Callable[[Any, Peer], Awaitable[Any]]
Handlers: TypeAlias = Mapping[Any, Handler]
"""Request class to what answers it. An answer of None is not sent."""


class Dialect:
    """The requests this broker speaks, each in exactly one version."""

    def __init__(self, handlers: Handlers) -> None:
        self._by_key = {request.API_KEY: (request, handler) for request, handler in handlers.items()}
        self._versions = [
            (key, request.API_VERSION, request.API_VERSION) for key, (request, _) in self._by_key.items()
        ]
        self._versions.append((API_VERSIONS_KEY, 0, len(API_VERSIONS) - 1))

    async def answer(self, frame: bytes, peer: Peer) -> bytes | None:
        """Raises ProtocolError: the request is not spoken here, or cannot be read."""
        try:
            key, version, correlation_id, client_id_length = HEADER.unpack_from(frame)
        except struct.error as error:
            raise ProtocolError(f"request header of {len(frame)} bytes is too short") from error
        header_end = HEADER.size + max(client_id_length, 0)
        client_id = frame[HEADER.size : header_end].decode(errors="replace")
        if key == API_VERSIONS_KEY:
            response = self._api_versions(version)
        else:
            request, handler = self._decode(key, version, frame[header_end:], client_id)
            response = await handler(request, peer._replace(client_id=client_id))
        return None if response is None else CORRELATION_ID.pack(correlation_id) + response.encode()

    def _decode(self, key: int, version: int, body: bytes, client_id: str) -> tuple[Any, Handler]:
        request_class, handler = self._by_key.get(key, (None, None))
        if request_class is None or handler is None or version != request_class.API_VERSION:
            raise ProtocolError(f"api key {key} version {version} is not spoken here (client {client_id!r})")
        try:
            return request_class.decode(BytesIO(body)), handler
        except (ValueError, struct.error) as error:
            raise ProtocolError(f"api key {key} version {version} cannot be read: {error}") from error

    def _api_versions(self, version: int) -> Any:
        if version >= len(API_VERSIONS):
            # By convention the oldest body, which every client can read, and so can ask again.
            return ApiVersionRequest_v0.RESPONSE_TYPE(ErrorCode.UNSUPPORTED_VERSION, self._versions)
        response_class = API_VERSIONS[version].RESPONSE_TYPE
        throttle = () if version == 0 else (0,)
        return response_class(ErrorCode.NONE, self._versions, *throttle)
