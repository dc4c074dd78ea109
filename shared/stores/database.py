"""The MongoDB driver. This is the only module that imports motor, so that leaving it changes one file."""

from typing import Any, TypeAlias

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

__all__ = [
    "ASCENDING",
    "AWAY",
    "DESCENDING",
    "BulkWriteError",
    "Collection",
    "Database",
    "Document",
    "DuplicateKeyError",
    "OperationFailure",
    "PyMongoError",
    "connect",
    "is_outage",
]

ASCENDING = 1
DESCENDING = -1

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Collection: TypeAlias = AsyncIOMotorCollection[Document]


# Writes are acknowledged by a majority and time out, so that a lost store becomes an error in seconds.
DEFAULTS: dict[str, Any] = {
    "w": "majority",
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
    "maxPoolSize": 100,
    "appname": "threadmill",
}


def connect(url: str, name: str) -> Database:
    """Return the database ``name``; nothing is sent yet. What the URL says wins over ``DEFAULTS``."""
    said = {option.partition("=")[0].lower() for option in url.partition("?")[2].split("&")}
    options = {option: value for option, value in DEFAULTS.items() if option.lower() not in said}
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(url, **options)
    return client[name]


AWAY = (ConnectionFailure, WTimeoutError, ExecutionTimeout)
# Codes of servers that are there and do not serve: no rights (yet), shutting down, not written by enough.
NOT_SERVING = {13, 18, 64, 91, 100, 11600}


def is_outage(error: Exception) -> bool:
    """Whether ``error`` says that the store is away, rather than that the request is wrong."""
    if isinstance(error, AWAY):
        return True
    return isinstance(error, OperationFailure) and error.code in NOT_SERVING
