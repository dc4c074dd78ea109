"""Where the bytes of files are; the same in every service that reads or writes files."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from shared.settings import ServiceSettings


class FileSettings(ServiceSettings):
    file_storage: Literal["gridfs", "disk", "s3"] = "gridfs"
    file_folder: Path | None = None  # for disk: all services see the same folder

    s3_bucket: str = ""
    s3_prefix: str = Field("", pattern=r"^[A-Za-z0-9_/-]*$")  # in front of every key
    s3_endpoint: HttpUrl | None = None  # None: Amazon's
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr = SecretStr("")  # empty: what the machine knows by itself
    s3_secret_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _say_where(self) -> Self:
        if self.file_storage == "disk" and self.file_folder is None:
            raise ValueError("THREADMILL_FILE_FOLDER must be set when files are kept on disk")
        if self.file_storage == "s3" and not self.s3_bucket:
            raise ValueError("THREADMILL_S3_BUCKET must be set when files are kept in S3")
        return self
