"""PDF and office documents. For the child process alone: these libraries read what strangers made."""

from pathlib import Path

from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.formats import OFFICE, extension_of

HYPHEN = "\ufffe"  # how pdfium tells that a word goes on in the next line
PASSWORD = 4  # pdfium's number for it


def pdf(path: Path) -> tuple[str, list[int]]:
    """Return the text and the places where its pages begin."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == PASSWORD or "password" in str(error).lower():
            raise ParseError("invalid_file", "The PDF document is locked with a password.") from None
        raise ParseError("invalid_file", "The PDF document is damaged.") from None
    parts, starts, at = [], [], 0
    for number in range(len(document)):
        starts.append(at)
        part = _page(document, number)
        parts.append(part)
        at += len(part)
    return "".join(parts), starts


def _page(document: "object", number: int) -> str:
    import pypdfium2

    try:
        page = document[number]  # type: ignore[index]
        try:
            text = page.get_textpage().get_text_bounded()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return "\n"  # a broken page; the others are read
    text = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return text.replace(HYPHEN + "\n", "").replace(HYPHEN, "") + "\n\n"


def office(path: Path, filename: str) -> str:
    """Return the text as Markdown: headings, lists and tables are kept."""
    import kreuzberg

    config = kreuzberg.ExtractionConfig(output_format="markdown", use_cache=False)
    config.disable_ocr = True  # type: ignore[attr-defined]
    mime = OFFICE[extension_of(filename)]
    try:
        return str(kreuzberg.extract_bytes_sync(path.read_bytes(), mime, config).content)
    except kreuzberg.MissingDependencyError as error:
        raise ParseError(
            "unsupported_file", f"The file cannot be read by this server: {error}"[:300]
        ) from None
    except kreuzberg.KreuzbergError as error:
        raise ParseError("invalid_file", f"The document cannot be read: {error}"[:300]) from None
