"""The models that a client may name: those of the model's server, and the aliases for them."""

import logging
from types import TracebackType
from typing import Any, Self

import httpx2

from services.gateway.settings import Settings
from shared.errors import Unavailable
from shared.runs.model import Json

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
ANY = "*"
NO_LIST = (404, 405, 501)  # a server that answers so has models, and does not tell which
OWNER = "threadmill"
AWAY = "The list of models cannot be read: the model's server does not answer. Please try again shortly."


class Models:
    """Asked anew each time: what the server has changes without us."""

    def __init__(self, settings: Settings) -> None:
        self._aliases = settings.model_aliases
        key = settings.model_api_key.get_secret_value()
        self._url = str(settings.model_url).rstrip("/") + "/models"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._client = httpx2.AsyncClient(headers=self._headers, timeout=PATIENCE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.aclose()

    async def all(self) -> list[Json]:
        """
        Raises:
            Unavailable: the server is away. Half a list would say that the rest is gone.
        """
        served = {model["id"]: model for model in await self._served()}
        named = (alias for alias in self._aliases if alias != ANY and alias not in served)
        return [*served.values(), *(_alias(alias, served.get(self._aliases[alias])) for alias in named)]

    async def get(self, name: str) -> Json | None:
        """Return the model ``name``; if there is an alias for every name, that is there too."""
        models = {model["id"]: model for model in await self.all()}
        if name not in models and ANY in self._aliases:
            return _alias(name, models.get(self._aliases[ANY]))
        return models.get(name)

    async def _served(self) -> list[Json]:
        assert self._client is not None, "not open"
        try:
            response = await self._client.get(self._url)
            if response.status_code in NO_LIST:
                return []
            response.raise_for_status()
            listed = response.json()["data"]
            return [_model(each) for each in listed]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("could not read the list of models", extra={"reason": repr(error)})
            raise Unavailable(AWAY) from error


def _model(said: Any) -> Json:
    created, owner = said.get("created"), said.get("owned_by")
    return {
        "id": str(said["id"]),
        "object": "model",
        "created": created if isinstance(created, int) else 0,
        "owned_by": owner if isinstance(owner, str) else OWNER,
    }


def _alias(name: str, target: Json | None) -> Json:
    created = target["created"] if target else 0
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}
