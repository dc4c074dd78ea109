"""Looking at a thread's messages as the store has them."""

from shared.stores.database import Document
from shared.stores.messages import MessageStore


async def messages_of(store: MessageStore, thread_id: str, *, upto: int | None = None) -> list[Document]:
    """The listed messages with content, oldest first."""
    last = await store.last_seq(thread_id) if upto is None else upto
    return [message async for message in store.newest(thread_id, upto=last)][::-1]
