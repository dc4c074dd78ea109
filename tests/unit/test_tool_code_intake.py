"""What may be committed while several records of a partition are worked on."""

import random

import pytest

from shared.intake import Progress


def begun(*offsets: int) -> Progress:
    progress = Progress()
    for offset in offsets:
        progress.taken[offset] = False
    return progress


@pytest.mark.parametrize(
    ("taken", "finished", "commits"),
    [
        ([0], [0], [1]),
        ([0, 1, 2], [0, 1, 2], [1, 2, 3]),
        ([0, 1, 2], [2, 1, 0], [None, None, 3]),
        ([0, 1, 2], [1, 0, 2], [None, 2, 3]),
        ([7, 8, 11], [8, 11, 7], [None, None, 12]),  # compacted or transactional: offsets with gaps
        ([5], [4], [None]),  # of a time before the partition moved away
        ([5], [5, 5], [6, None]),
    ],
)
def test_only_a_finished_prefix_is_committed(
    taken: list[int], finished: list[int], commits: list[int | None]
) -> None:
    progress = begun(*taken)
    assert [progress.finish(offset) for offset in finished] == commits


def test_in_any_order_nothing_unfinished_is_ever_committed() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        offsets = sorted(chance.sample(range(100), k=20))
        progress, done, committed = begun(*offsets), set[int](), 0
        for offset in chance.sample(offsets, k=len(offsets)):
            done.add(offset)
            commit = progress.finish(offset)
            if commit is not None:
                assert commit > committed
                committed = commit
            assert all(earlier in done for earlier in offsets if earlier < committed)
        assert committed == offsets[-1] + 1
        assert progress.taken == {}


def test_records_taken_later_wait_for_those_before() -> None:
    progress = begun(1, 2)
    assert progress.finish(2) is None
    progress.taken[3] = False
    assert progress.finish(3) is None
    assert progress.finish(1) == 4
