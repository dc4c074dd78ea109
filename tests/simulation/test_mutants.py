"""The simulation finds mistakes: each of these soon, and by an invariant that says what is wrong."""

import pytest

from tests.simulation.explore import explore
from tests.simulation.mutants import MUTANTS, Mutant

MOST = 200  # schedules; most mistakes show within ten


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_mistake_is_found(mutant: Mutant) -> None:
    found: set[int] = set()
    with mutant.applied():
        for seed in range(MOST):
            found |= explore(seed, focus=mutant.focus).invariants
            if found & mutant.found_by:
                return
    pytest.fail(f"{MOST} schedules did not show it; they broke {sorted(found)}")
