"""Where a file is named, and so what a deleted one is taken out of. The one list of that."""

from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from shared.files.library import Forget


def places(stores: Stores, shelves: Shelves) -> tuple[Forget, ...]:
    """Each forgets a file of a project, and may be asked to more than once.

    Messages keep the names of what came with them, as a letter does.
    """
    return (stores.assistants.forget_file, stores.threads.forget_file, shelves.forget_file)
