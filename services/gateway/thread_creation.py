"""How a thread comes to be, with its first messages."""

from services.gateway.attachments import NewResources, prepare
from services.gateway.auth import Caller
from services.gateway.run_creation import add_messages
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.threads import CreateThreadFields
from shared import clock
from shared.failpoints import failpoint
from shared.ids import new_sequence
from shared.stores.database import Document


async def create_thread(
    stores: Stores, shelves: Shelves, caller: Caller, body: CreateThreadFields, resources: NewResources
) -> tuple[Document, list[Document]]:
    """Store the thread, which may work on ``resources``, behind its messages: nobody knows its id before.

    Returns both.
    """
    thread: Document = {
        "_id": caller.new_id("thread"),
        "project_id": caller.project_id,
        "seq": new_sequence(),
        "created_at": int(clock.now()),
        "metadata": body.metadata or {},
        "tool_resources": resources.stored,
    }
    await prepare(stores, shelves, caller, resources)
    messages = await add_messages(stores, caller, thread["_id"], body.messages or [], behind=0)
    failpoint("gateway.thread_messages_stored")
    await stores.threads.add(thread)
    stores.runs.thread_added(thread["_id"])
    failpoint("gateway.thread_stored")
    return thread, messages
