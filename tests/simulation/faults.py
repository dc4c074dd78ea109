"""What goes wrong in one schedule, drawn from its seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

# Of a process, at one of its steps: how often one is taken rather than another.
STRIKES = {"kill": 5, "stop": 4, "leave": 2, "wipe": 1, "broker away": 1}

# Of one request, one record, one piece of a reply: how probable when there is chaos.
ODDS = {
    "store away": 0.01,
    "store answer lost": 0.01,
    "ack lost": 0.03,
    "record lost": 0.08,
    "record doubled": 0.25,
    "record late": 0.08,
    "record forged": 0.1,
    "garbage": 0.02,
    "model breaks off": 0.03,
}
STEPS = 700  # so many does a schedule have, more or less
SINGLE = 0.3  # part of the schedules with one strike alone, at any step


@dataclass
class Faults:
    """Either one strike at one step, or each as often as its odds say, for a while."""

    random: Random
    at_step: int | None = None
    per_step: float = 0.0
    odds: dict[str, float] = field(default_factory=dict)
    until_s: float = 0.0
    kinds: dict[str, int] = field(default_factory=lambda: STRIKES)

    @classmethod
    def drawn(cls, random: Random, focus: Sequence[str] = ()) -> "Faults":
        """``focus``: nothing but these kinds, and those often."""
        until_s = random.uniform(5.0, 45.0)
        if focus:
            odds = {kind: 0.5 for kind in focus if kind in ODDS}
            strikes = {kind: 1 for kind in focus if kind in STRIKES}
            return cls(random, per_step=0.01 if strikes else 0.0, odds=odds, until_s=until_s, kinds=strikes)
        if random.random() < SINGLE:
            return cls(random, at_step=random.randrange(STEPS), until_s=until_s)
        factor = random.choice((0.3, 1.0, 3.0))
        # Not every kind each time: some mistakes show only where nothing else hides them.
        odds = {kind: odds * factor for kind, odds in ODDS.items() if random.random() < 0.6}
        return cls(random, per_step=random.choice((0.0, 0.003, 0.01)), odds=odds, until_s=until_s)

    def of_step(self, step: int) -> str | None:
        """What is done to the process that takes this step."""
        if self.at_step == step or self.random.random() < self.per_step:
            return self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
        return None

    def strikes(self, kind: str) -> bool:
        return kind in self.odds and self.random.random() < self.odds[kind]
