"""The storage that the settings name."""

from shared.files.disk import DiskStorage
from shared.files.gridfs import GridFSStorage
from shared.files.settings import FileSettings
from shared.files.storage import Storage
from shared.stores.database import Database


def storage_for(settings: FileSettings, db: Database) -> Storage:
    """Return the storage, not yet open.

    Raises:
        SystemExit: what it needs is not installed.
    """
    if settings.file_storage == "disk":
        assert settings.file_folder is not None, "the settings were checked"
        return DiskStorage(settings.file_folder)
    if settings.file_storage == "s3":
        try:
            from shared.files.s3 import S3Storage  # an extra: who keeps files elsewhere need not have it
        except ModuleNotFoundError as error:
            raise SystemExit(f"{error.name} is missing: pip install 'threadmill[s3]'") from None
        return S3Storage(settings)
    return GridFSStorage(db)
