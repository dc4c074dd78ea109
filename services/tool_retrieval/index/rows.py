"""Windows as the rows of a table, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors
from services.tool_retrieval.index.index import Hit, Table

PLACES = ("start", "end", "home_start", "home_end", "other_start", "other_end")
COLUMNS = ["file_id", "gen", "heading", *PLACES]


def schema_of(table: Table) -> Any:
    """Its columns, in Arrow's types."""
    import pyarrow as pa

    text, place = pa.string(), pa.int64()
    fields = [pa.field("id", text, nullable=False), pa.field("file_id", text), pa.field("gen", place)]
    fields += [pa.field(name, place) for name in PLACES]
    fields += [pa.field("heading", text), pa.field("text", text)]
    if table.dim:
        fields.append(pa.field("vector", pa.list_(pa.float32(), table.dim)))
    return pa.schema(fields)


def rows_of(
    table: Table,
    file_id: str,
    gen: int,
    windows: Sequence[Window],
    texts: Sequence[str],
    vectors: Vectors | None,
) -> Any:
    import pyarrow as pa

    places = np.array([places_of(window) for window in windows], np.int64).reshape(len(windows), len(PLACES))
    columns: dict[str, Any] = {
        "id": [f"{file_id}:{gen}:{number}" for number in range(len(windows))],
        "file_id": [file_id] * len(windows),
        "gen": [gen] * len(windows),
        **{name: places[:, number] for number, name in enumerate(PLACES)},
        "heading": [window.heading for window in windows],
        "text": list(texts),
    }
    if table.dim:
        assert vectors is not None
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, table.dim)
    return pa.table(columns, schema=schema_of(table))


def places_of(window: Window) -> list[int]:
    """Return what is kept of a window, in the order of ``PLACES``."""
    home, other = window.chunks[0], window.chunks[-1]
    return [window.start, window.end, *home, *other]


def hits_of(legs: Sequence[Any], vector: Vectors | None) -> list[Hit]:
    """Return what was found, each row once. A leg has its rows' vectors, or their ``_distance``."""
    found: dict[str, Hit] = {}
    for leg in legs:
        cosines = [None] * leg.num_rows if vector is None else _cosines(leg, vector)
        scores = leg["_score"].to_pylist() if "_score" in leg.column_names else [0.0] * leg.num_rows
        columns = [leg[field].to_pylist() for field in COLUMNS]
        rows = zip(leg["id"].to_pylist(), cosines, scores, *columns, strict=True)
        for name, cosine, bm25, *fields in rows:
            if name not in found:
                found[name] = hit_of(dict(zip(COLUMNS, fields, strict=True)), cosine, bm25)
    return list(found.values())


def _cosines(leg: Any, vector: Vectors) -> list[float]:
    if "vector" not in leg.column_names:
        return [1.0 - distance for distance in leg["_distance"].to_pylist()]
    stored = leg["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found: list[float] = (stored.reshape(leg.num_rows, len(vector)) @ vector).tolist()
    return found


def hit_of(row: Mapping[str, Any], cosine: float | None, bm25: float) -> Hit:
    """Return the hit that a row, its ``COLUMNS`` by name, stands for."""
    home, other = (row["home_start"], row["home_end"]), (row["other_start"], row["other_end"])
    chunks = (home,) if other == home else (home, other)
    window = Window(row["start"], row["end"], chunks, row["heading"])
    return Hit(row["file_id"], row["gen"], window, cosine, bm25)
