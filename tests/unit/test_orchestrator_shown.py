"""What messages show of the code calls before them: images and links to files."""

from dataclasses import replace

from services.run_orchestrator.shown import known_files, links, new_images
from shared.runs import facts as f
from shared.runs.model import Json, Run
from shared.runs.views import message_view
from tests.unit.run_samples import (
    ANSWERED,
    CALLS_STARTED,
    CLAIMED,
    CODE,
    LAST_TOOL,
    MESSAGE_STARTED,
    MORE_CODE,
    NOW,
    TEXT,
    after,
    calls_made,
)

LOGS: Json = {"type": "logs", "logs": "2"}


def image(file_id: str) -> Json:
    return {"type": "image", "image": {"file_id": file_id}}


def part(file_id: str) -> Json:
    return {"type": "image_file", "image_file": {"file_id": file_id}}


DRAWN = f.ToolAnswered(
    "c1", "2", NOW, (LOGS, image("file-1"), image("file-2")), ({"path": "out.csv", "file_id": "file-3"},)
)
SEEN = after(LAST_TOOL, DRAWN, CLAIMED)


def again(run: Run, *outputs: Json, files: tuple[Json, ...] = ()) -> Run:
    """One more turn of code."""
    more = (CALLS_STARTED, calls_made(MORE_CODE), f.ToolAnswered("c2", "4", NOW, outputs, files), CLAIMED)
    return after(run, *more)


def test_images_of_all_calls_since_the_last_message_are_new() -> None:
    assert new_images(SEEN) == (part("file-1"), part("file-2"))
    assert new_images(again(SEEN, image("file-4"))) == (part("file-1"), part("file-2"), part("file-4"))


def test_a_message_shows_images_once() -> None:
    told = after(SEEN, MESSAGE_STARTED, replace(CALLS_STARTED, content=TEXT))
    told = after(told, calls_made(MORE_CODE), f.ToolAnswered("c2", "4", NOW, (image("file-4"),)), CLAIMED)
    assert new_images(told) == (part("file-4"),)


def test_a_message_that_was_withdrawn_has_shown_nothing() -> None:
    assert new_images(after(SEEN, MESSAGE_STARTED, f.Restarted(0, NOW))) == new_images(SEEN)


def test_the_latest_file_of_a_path_counts() -> None:
    newer = ({"path": "out.csv", "file_id": "file-9"}, {"path": "a/b.txt", "file_id": "file-8"})
    assert known_files(SEEN) == {"out.csv": "file-3"}
    assert known_files(again(SEEN, files=newer)) == {"out.csv": "file-9", "a/b.txt": "file-8"}
    assert known_files(after(LAST_TOOL)) == {}
    assert CODE.files == ()


def test_links_are_found_in_code_points() -> None:
    text = "👋🏽 [data](sandbox:/mnt/data/my%20data.csv), sandbox:/mnt/data/out.csv."
    found = links(text, {"my data.csv": "file-1", "out.csv": "file-2", "out": "file-3"})
    assert [each["file_path"]["file_id"] for each in found] == ["file-1", "file-2"]
    for each in found:
        assert text[each["start_index"] : each["end_index"]] == each["text"]
    assert found[0]["text"] == "sandbox:/mnt/data/my%20data.csv"


def test_what_nobody_wrote_is_no_link() -> None:
    files = {"out.csv": "file-1", "a.b": "file-2"}
    for text in ("sandbox:/mnt/data/other.csv", "sandbox:/mnt/data/out.csv.gz", "sandbox:/mnt/data/axb", "x"):
        assert links(text, files) == []
    assert links("sandbox:/mnt/data/out.csv", {}) == []


def test_a_message_has_the_files_that_it_links_to() -> None:
    value = "sandbox:/mnt/data/out.csv and again sandbox:/mnt/data/out.csv"
    content = ({"type": "text", "text": {"value": value, "annotations": links(value, known_files(SEEN))}},)
    run = after(SEEN, MESSAGE_STARTED, replace(ANSWERED, content=(*new_images(SEEN), *content)))
    view = message_view(run, run.steps[-1])
    assert view["attachments"] == [{"file_id": "file-3", "tools": [{"type": "code_interpreter"}]}]
    assert [each["type"] for each in view["content"]] == ["image_file", "image_file", "text"]
