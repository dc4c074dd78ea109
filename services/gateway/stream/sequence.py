"""The events and deltas of one run in the order in which its client must see them. No I/O, no clock."""

from typing import NamedTuple, TypeAlias, get_args

from services.gateway.stream.arithmetic import Sum
from services.gateway.stream.frames import Arrived
from services.gateway.stream.places import Place, open_at
from services.gateway.stream.sums import REQUIRES_ACTION, AskStore, Sums
from shared.runs.model import EndStatus, Json, Run
from shared.runs.views import WITHDRAWN, Named, at_event

LAST = (REQUIRES_ACTION, *(f"thread.run.{status}" for status in get_args(EndStatus)))
MAX_HELD = 1_000  # frames; the store has what is dropped

Hole: TypeAlias = tuple[int, int]


class Told(NamedTuple):
    """An event that waits for its turn; with the run where it came from the store."""

    event: str
    data: Json
    run: Run | None


class Sequence:
    """Takes frames as they come and the run as it is stored; returns what may be yielded now.

    An event is a fact, whoever sends it and however late: only its ``seq`` counts. Deltas are
    drafts: they count in the newest epoch, right behind the event they follow, without a gap.
    What a lost delta held is sent with the event that closes its message or step.
    Deltas of a tool that runs come beside them: see ``_take_live``.

    ``to_end``: it goes on behind a call for action, and ``places`` says for each pair that was returned
    last where its client is behind it.
    """

    def __init__(self, run_id: str, *, after: int, to_end: bool = False) -> None:
        self.places: list[str] = []
        self.ended = False
        self._to_end = to_end
        self._ends = LAST[1:] if to_end else LAST
        self.asks = False  # the next event cannot be yielded before the store was read
        self._run_id = run_id
        self._last = after  # the event that was yielded last
        self._n = 0  # the delta behind it that was yielded last
        self._cut = False  # a delta behind it is lost: none that follows it makes sense
        self._epoch = 0
        self._events: dict[int, Told] = {}
        self._deltas: dict[Hole, Arrived] = {}
        self._live: dict[str, tuple[int, int]] = {}  # by source: its attempt and the last delta of it
        self._sums = Sums()

    def resume(self, run: Run, known: Sum) -> None:
        """The client has seen ``known`` of what was being written behind the event where this begins."""
        item, calls = open_at(run, self._last)
        if item:
            self._sums.resume(item, known, calls=calls)

    @property
    def hole(self) -> Hole | None:
        """Where something is missing before what is held; None if nothing is held."""
        held = self._events or self._deltas
        return (self._last, self._n) if held and not self.ended else None

    def take(self, frame: Arrived) -> list[Named]:
        """Take one frame; return the pairs (event, object) that are due."""
        self.places = []
        if self.ended or frame.run_id != self._run_id:
            return []
        if frame.source:
            return self._take_live(frame)
        self._see(frame.epoch)
        if frame.n == 0:
            if frame.seq > self._last and self._has_room(frame.seq):
                self._events.setdefault(frame.seq, Told(frame.event, frame.data, None))
        elif frame.epoch == self._epoch and self._follows(frame):
            if len(self._deltas) >= MAX_HELD:
                self._deltas.clear()
            self._deltas[frame.seq, self._first_of(frame)] = frame
        return self._drain()

    def _first_of(self, frame: Arrived) -> int:
        """The number of the first delta that ``frame`` stands for."""
        if not frame.whole:
            return frame.n
        if frame.seq != self._last:
            return 1
        self._cut = False
        return self._n + 1

    def _take_live(self, delta: Arrived) -> list[Named]:
        """A tool's own deltas: of its first attempt, while its step is open, up to the first that is lost.

        What comes of them is no more than a foretaste: the step's end tells the rest.
        """
        before = self._live.setdefault(delta.source, (delta.epoch, 0))
        if (delta.epoch, delta.n - 1) != before or not self._sums.has_calls(delta.data):
            return []
        self._live[delta.source] = (delta.epoch, delta.n)
        self._sums.add(delta.data)
        due: list[Named] = []
        self._tell(due, (delta.event, delta.data))
        return due

    def absorb(self, run: Run) -> list[Named]:
        """Take what the store has; return the pairs (event, object) that are due."""
        self.places = []
        if self.ended:
            return []
        self._see(run.epoch)
        for event in run.events[self._last :]:
            data = {} if event.type == WITHDRAWN else at_event(run, event)
            self._events[event.seq] = Told(event.type, data, run)
        due = self._drain()
        self.ended = self.ended or (run.ended and self._last >= len(run.events))
        return due

    def give_up(self) -> None:
        """The store was read, and the hole is still there: what is missing will not come."""
        behind_last = [place for place in self._deltas if place[0] == self._last]
        if not behind_last:
            self._events.clear()
            self._deltas.clear()
        self._cut = self._cut or bool(behind_last)
        for place in behind_last:
            del self._deltas[place]

    def _see(self, epoch: int) -> None:
        if epoch > self._epoch:
            self._epoch = epoch
            self._deltas.clear()

    def _has_room(self, seq: int) -> bool:
        return seq == self._last + 1 or len(self._events) < MAX_HELD

    def _follows(self, delta: Arrived) -> bool:
        if delta.seq == self._last:
            return delta.upto > self._n and (delta.whole or not self._cut)
        return delta.seq > self._last

    def _drain(self) -> list[Named]:
        due: list[Named] = []
        self.asks = False
        while not self.ended:
            self._drain_deltas(due)
            told = self._events.get(self._last + 1)
            if told is None:
                break
            try:
                for named in self._sums.before(told.event, told.data, told.run):
                    self._tell(due, named)
            except AskStore:
                self.asks = True
                break
            self._pass(told, due)
        return due

    def _drain_deltas(self, due: list[Named]) -> None:
        while delta := self._deltas.pop((self._last, self._n + 1), None):
            self._n = delta.upto
            data = self._sums.rest_of(delta.data) if delta.whole else delta.data
            self._cut = self._cut or data is None
            if data:
                self._sums.add(data)
                self._tell(due, (delta.event, data))
            if self._cut:
                break

    def _pass(self, told: Told, due: list[Named]) -> None:
        self._last += 1
        self._n, self._cut = 0, False
        del self._events[self._last]
        if self._deltas:
            self._deltas = {place: delta for place, delta in self._deltas.items() if place[0] >= self._last}
        if told.event != WITHDRAWN:
            data = self._sums.closing(told.event, told.data)
            self._sums.begin(told.event, data)
            self._tell(due, (told.event, data))
        self.ended = told.event in self._ends

    def _tell(self, due: list[Named], named: Named) -> None:
        due.append(named)
        if self._to_end:
            self.places.append(str(Place(self._last, self._sums.current)))
