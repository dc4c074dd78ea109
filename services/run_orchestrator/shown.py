"""What a message shows of the run's code calls: the images before its text, links to files in it."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from shared.files.for_code import FOLDER
from shared.runs.model import Json, Run


def new_images(run: Run) -> tuple[Json, ...]:
    """The images that no message of the run has shown yet, as parts of the next one."""
    images: list[Json] = []
    for step in run.steps:
        if step.superseded:
            continue
        if step.type == "message_creation":
            images.clear()
        outputs = (output for call in step.calls for output in call.outputs)
        images += [
            {"type": "image_file", "image_file": {"file_id": output["image"]["file_id"]}}
            for output in outputs
            if output["type"] == "image"
        ]
    return tuple(images)


def known_files(run: Run) -> dict[str, str]:
    """What the run's code has written, by its path below the working directory; the latest counts."""
    calls = (call for step in run.steps if not step.superseded for call in step.calls)
    return {file["path"]: file["file_id"] for call in calls for file in call.files}


def links(text: str, files: Mapping[str, str]) -> list[Json]:
    """The annotations of ``sandbox:/mnt/data/...`` in ``text``; places are counted in code points."""
    spelled = {spelling: file_id for path, file_id in files.items() for spelling in (quote(path), path)}
    if not spelled or "sandbox:" not in text:
        return []
    longest_first = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
    link = re.compile(rf"sandbox:{FOLDER}/({longest_first})(?![\w/]|[.-]\w)")
    return [
        {
            "type": "file_path",
            "text": found[0],
            "start_index": found.start(),
            "end_index": found.end(),
            "file_path": {"file_id": spelled[found[1]]},
        }
        for found in link.finditer(text)
    ]
