"""The v2 form of objects, which is the form they are kept in, but for what is kept for v1 alone."""

from shared.runs.model import Json

CITED = ("thread.message", "thread.message.delta")


def render(obj: Json) -> Json:
    """Return ``obj``, a stored object or a list of them, as a client of v2 expects it.

    A citation's quote is v1's: a message of v2 has none, and a delta of v2 an empty one. A run's
    files are v1's, too.
    """
    if obj["object"] == "list":
        return obj | {"data": [render(member) for member in obj["data"]]}
    if obj["object"] == "thread.run" and "file_ids" in obj:
        return {name: value for name, value in obj.items() if name != "file_ids"}
    if obj["object"] not in CITED:
        return obj
    if "delta" not in obj:
        return obj | {"content": _content(obj["content"], {})} if _cites(obj["content"]) else obj
    parts = obj["delta"].get("content", [])
    if not _cites(parts):
        return obj
    return obj | {"delta": obj["delta"] | {"content": _content(parts, {"quote": ""})}}


def _cites(parts: list[Json]) -> bool:
    annotations = (each for part in parts for each in part.get("text", {}).get("annotations", ()))
    return any("file_citation" in each for each in annotations)


def _content(parts: list[Json], quote: Json) -> list[Json]:
    return [_part(part, quote) if "annotations" in part.get("text", {}) else part for part in parts]


def _part(part: Json, quote: Json) -> Json:
    annotations = [_annotation(each, quote) for each in part["text"]["annotations"]]
    return part | {"text": part["text"] | {"annotations": annotations}}


def _annotation(annotation: Json, quote: Json) -> Json:
    if "file_citation" not in annotation:
        return annotation
    return annotation | {"file_citation": {"file_id": annotation["file_citation"]["file_id"], **quote}}
