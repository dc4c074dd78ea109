"""Consumer groups: who is in, which round of assignment they are in, and how far they have read."""

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from deploy.local.broker.errors import ErrorCode, Refused
from deploy.local.broker.members import Joined, Member

# The first members of a group come one after the other; to wait a little saves a round for each.
SETTLE_S = 0.05
NO_GENERATION = -1


class Phase(StrEnum):
    """With the names that DescribeGroups gives."""

    EMPTY = "Empty"
    JOINING = "PreparingRebalance"  # every member is asked to join again
    ASSIGNING = "CompletingRebalance"  # all have joined; the leader decides who reads what
    STABLE = "Stable"


class Committed(NamedTuple):
    offset: int
    metadata: str


class Group:
    """Follows Kafka's classic protocol. Times are those of the event loop's clock, in seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = Phase.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.members: dict[str, Member] = {}
        self.offsets: dict[tuple[str, int], Committed] = {}
        self._leader = ""
        self._settling = False
        self._round_timer: asyncio.TimerHandle | None = None

    async def join(self, member: Member) -> Joined:
        """Wait until all members have joined, and give the new generation. Raises Refused.

        A member that was there before joins with a new object under its id.
        """
        known = self.members.get(member.id)
        if known is not None:
            if known.protocols == member.protocols and self._needs_no_round(member):
                known.seen()
                return self._joined(known)
            member.assignment = known.assignment
            known.fail(ErrorCode.REBALANCE_IN_PROGRESS)
        self.members[member.id] = member
        self._begin_round()
        answer = member.wait_to_join()
        self._end_round_if_all_joined()
        try:
            return await answer
        except asyncio.CancelledError:
            # Its connection is gone. One that was never told its id cannot come back under it.
            if known is None and self.members.get(member.id) is member:
                self.remove(member.id)
            raise

    async def sync(self, member_id: str, generation: int, assignments: Iterable[tuple[str, bytes]]) -> bytes:
        """Take the leader's assignments, or wait for them; give the member's own. Raises Refused."""
        member = self.active(member_id, generation)
        if self.phase is Phase.JOINING:
            raise Refused(ErrorCode.REBALANCE_IN_PROGRESS)
        if self.phase is Phase.STABLE:
            return member.assignment
        if member_id != self._leader:
            return await member.wait_to_sync()
        given = dict(assignments)
        for other in self.members.values():
            other.take(given.get(other.id, b""))
        self.phase = Phase.STABLE
        return member.assignment

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises Refused: the member has to join (again)."""
        self.active(member_id, generation)
        if self.phase is Phase.JOINING:
            raise Refused(ErrorCode.REBALANCE_IN_PROGRESS)

    def active(self, member_id: str, generation: int) -> Member:
        """The member, which has just given a sign of life. Raises Refused."""
        if member_id not in self.members:
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID)
        member = self.members[member_id]
        member.seen()
        if generation != self.generation:
            raise Refused(ErrorCode.ILLEGAL_GENERATION)
        return member

    def check_may_commit(self, member_id: str, generation: int) -> None:
        """Offsets are taken from current members, and from anyone while there are none. Raises Refused."""
        if generation == NO_GENERATION and not self.members:
            return
        self.active(member_id, generation)
        if self.phase is Phase.ASSIGNING:
            raise Refused(ErrorCode.REBALANCE_IN_PROGRESS)

    def remove(self, member_id: str) -> None:
        """Raises Refused: it is not there."""
        if member_id not in self.members:
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID)
        self.members.pop(member_id).fail(ErrorCode.UNKNOWN_MEMBER_ID)
        self._begin_round()
        self._end_round_if_all_joined()

    def evict_silent_members(self) -> list[str]:
        silent = [member.id for member in self.members.values() if member.is_silent()]
        for member_id in silent:
            self.remove(member_id)
        return silent

    def _needs_no_round(self, member: Member) -> bool:
        # An answer that got lost is given again; a leader that asks again wants to assign anew.
        return self.phase is Phase.ASSIGNING or (self.phase is Phase.STABLE and member.id != self._leader)

    def _begin_round(self) -> None:
        if self.phase is Phase.JOINING:
            return
        first = self.phase is Phase.EMPTY
        self.phase = Phase.JOINING
        for member in self.members.values():
            member.fail(ErrorCode.REBALANCE_IN_PROGRESS)
        self._settling = first
        longest_s = max((member.rebalance_s for member in self.members.values()), default=0.0)
        wait_s, then = (SETTLE_S, self._settled) if first else (longest_s, self._end_round)
        self._round_timer = asyncio.get_running_loop().call_later(wait_s, then)

    def _settled(self) -> None:
        self._settling = False
        self._end_round_if_all_joined()

    def _end_round_if_all_joined(self) -> None:
        if not self._settling and all(member.is_joining() for member in self.members.values()):
            self._end_round()

    def _end_round(self) -> None:
        """Whoever has not joined by now is out."""
        if self._round_timer is not None:
            self._round_timer.cancel()
        self.members = {key: member for key, member in self.members.items() if member.is_joining()}
        self.generation += 1
        if not self.members:
            self.phase, self.protocol, self._leader = Phase.EMPTY, "", ""
            return
        self.phase = Phase.ASSIGNING
        if self._leader not in self.members:
            self._leader = next(iter(self.members))
        self.protocol = self._common_protocols(self.members[self._leader])[0]
        for member in self.members.values():
            member.admit(self._joined(member))

    def _joined(self, member: Member) -> Joined:
        assigns = self.members.values() if member.id == self._leader else ()
        metadata = [(other.id, other.protocols[self.protocol]) for other in assigns]
        return Joined(self.generation, self.protocol, self._leader, member.id, metadata)

    def check_fits(self, member: Member, protocol_type: str) -> None:
        """Raises Refused: the others could not agree with this member on a way to assign."""
        others = [other for other in self.members.values() if other.id != member.id]
        if not protocol_type or not member.protocols:
            raise Refused(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        if others and (self.protocol_type != protocol_type or not self._common_protocols(member)):
            raise Refused(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        self.protocol_type = protocol_type

    def _common_protocols(self, member: Member) -> list[str]:
        others = [other.protocols for other in self.members.values() if other.id != member.id]
        return [name for name in member.protocols if all(name in protocols for protocols in others)]


class Groups:
    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def get_or_create(self, name: str) -> Group:
        """Raises Refused."""
        if not name:
            raise Refused(ErrorCode.INVALID_GROUP_ID)
        return self._groups.setdefault(name, Group(name))

    def find(self, name: str) -> Group | None:
        return self._groups.get(name)

    def existing(self, name: str) -> Group:
        """Raises Refused: where there is no group there is no member."""
        if name not in self._groups:
            raise Refused(ErrorCode.UNKNOWN_MEMBER_ID)
        return self._groups[name]

    def all(self) -> list[Group]:
        return list(self._groups.values())

    def forget_topic(self, topic: str) -> None:
        for group in self._groups.values():
            for key in [key for key in group.offsets if key[0] == topic]:
                del group.offsets[key]

    def drop_unused(self) -> None:
        for group in self.all():
            if not group.members and not group.offsets:
                del self._groups[group.name]
