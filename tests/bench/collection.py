"""A collection to search: texts, queries, and which texts answer them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Collection:
    texts: Mapping[str, str]
    queries: Mapping[str, str]
    judged: Mapping[str, Mapping[str, int]]  # query -> text -> grade


def load(folder: Path) -> Collection:
    def lines(name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (folder / name).read_text().splitlines() if line]

    texts = {
        each["_id"]: f"{each.get('title', '')}\n\n{each['text']}".strip() for each in lines("corpus.jsonl")
    }
    judged: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, text, grade = line.split("\t")
        judged.setdefault(query, {})[text] = int(grade)
    queries = {each["_id"]: each["text"] for each in lines("queries.jsonl") if each["_id"] in judged}
    return Collection(texts, queries, judged)


def ndcg(found: Sequence[str], judged: Mapping[str, int], upto: int) -> float:
    """How near the order of ``found`` is to the best one, 0 to 1."""
    gained = sum(judged.get(name, 0) / math.log2(place + 2) for place, name in enumerate(found[:upto]))
    best = sorted(judged.values(), reverse=True)[:upto]
    return gained / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


def recall(found: Sequence[str], judged: Mapping[str, int], upto: int) -> float:
    relevant = {name for name, grade in judged.items() if grade > 0}
    return len(relevant & set(found[:upto])) / len(relevant)


def area(higher: Sequence[float], lower: Sequence[float]) -> float:
    """How often a value of ``higher`` is above one of ``lower``: the area under the ROC curve."""
    wins = sum((one > two) + 0.5 * (one == two) for one in higher for two in lower)
    return wins / (len(higher) * len(lower))
