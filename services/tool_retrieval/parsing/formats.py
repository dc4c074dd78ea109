"""Which files are read, and how."""

from pathlib import PurePath
from typing import Literal, TypeAlias

from services.tool_retrieval.parsing.errors import ParseError

Format: TypeAlias = Literal["text", "markdown", "pdf", "office"]

TEXT = ("c", "cpp", "cs", "css", "go", "java", "js", "json", "php", "py", "rb", "sh", "tex", "ts", "txt")
OFFICE = {
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
FORMATS: dict[str, Format] = {
    **dict.fromkeys(TEXT, "text"),
    "md": "markdown",
    "pdf": "pdf",
    **dict.fromkeys(OFFICE, "office"),
}
HEADED = ("markdown", "office")  # headings are lines that begin with "#"

PDF, ZIP, OLE = b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
PDF_WITHIN = 1024


def extension_of(filename: str) -> str:
    return PurePath(filename).suffix[1:].lower()


def format_of(filename: str) -> Format:
    """
    Raises:
        ParseError: files of this kind are not read.
    """
    extension = extension_of(filename)
    if extension not in FORMATS:
        named = f"Files with the extension .{extension}" if extension else "Files without an extension"
        raise ParseError("unsupported_file", f"{named} are not supported for retrieval.")
    return FORMATS[extension]


def check(filename: str, head: bytes) -> None:
    """Hold what a file begins with against its name.

    Raises:
        ParseError: it is something else, or locked with a password.
    """
    extension = extension_of(filename)
    if extension == "pdf" and PDF not in head[:PDF_WITHIN]:
        raise ParseError("invalid_file", "The file is not a PDF document.")
    if extension in ("docx", "pptx") and not head.startswith(ZIP):
        locked = head.startswith(OLE)
        what = (
            "is locked with a password, or in an older format"
            if locked
            else f"is not a .{extension} document"
        )
        raise ParseError("invalid_file", f"The file {what}.")
    if extension == "doc" and not head.startswith(OLE):
        raise ParseError("invalid_file", "The file is not a .doc document.")
