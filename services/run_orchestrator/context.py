"""Which of the thread's messages the model sees, so that the prompt fits."""

import asyncio
import json
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

from services.run_orchestrator.prompt import BARE, Beside, build_prompt, completion_budget
from shared.runs.model import Run
from shared.stores.database import Document
from shared.tokenizer import count_tokens, most_tokens

MESSAGE_TOKENS = 8  # what a message costs beside its text
IMAGE_TOKENS = 1100  # a picture of ordinary size, in high detail
REPLY_TOKENS = 4096  # kept free for the reply, where the run sets no limit
REPLY_SHARE = 4  # but no more than this part of a small window
FIRST_SHARE = 4  # the thread's first message stays if it takes no more than this part of the room


class PromptBudgetUsedUp(Exception):
    """What the model must see needs more tokens than the run may still use for prompts."""


@dataclass(frozen=True)
class Room:
    """Tokens for the thread's messages; ``strict`` if they are a budget that the client set."""

    tokens: int
    strict: bool


async def room_for(run: Run, window: int, beside: Beside = BARE) -> Room:
    """Return what the instructions, the tools and the run's own turns leave."""
    reply = completion_budget(run)
    kept_free = min(REPLY_TOKENS if reply is None else reply, window // REPLY_SHARE)
    tokens, strict = window - kept_free, False
    if run.settings.max_prompt_tokens is not None:
        left = run.settings.max_prompt_tokens - run.used.prompt_tokens
        tokens, strict = min(tokens, left), left <= tokens
    fixed = json.dumps(build_prompt(run, [], beside), ensure_ascii=False)
    used = most_tokens(fixed)
    if used > tokens // 2:  # else the bound is good enough
        used = await asyncio.to_thread(count_tokens, fixed)
    return Room(tokens - used, strict)


async def select(newest_first: AsyncIterable[Document], room: Room, last: int | None) -> list[Document]:
    """Return the messages that fit, oldest first: the newest ones, at most ``last`` of them.

    The newest message of a user is kept whatever it takes, with all that follow it. Tokens are
    counted only once the upper bound no longer fits, so that short threads cost nothing.

    Raises:
        PromptBudgetUsedUp: those alone are more than a strict room.
    """
    kept: list[Document] = []
    used, asked, cost = 0, False, _bound
    async for message in newest_first:
        if last is not None and len(kept) == last:
            break
        if used + await cost(message) > room.tokens and cost is _bound:
            cost, used = _count, sum([await _count(earlier) for earlier in kept])
        if asked and used + await cost(message) > room.tokens:
            break
        kept.append(message)
        used += await cost(message)
        asked = asked or message["role"] == "user"
    if used > room.tokens and room.strict:
        raise PromptBudgetUsedUp
    return kept[::-1]


async def keep_first(kept: Sequence[Document], first: Document, room: Room) -> list[Document]:
    """Put the thread's ``first`` message before the newest ones: what is dropped is the middle.

    The oldest of ``kept`` make place for it, but never the last message of a user.
    """
    needed = await _count(first)
    costs = [await _count(message) for message in kept]
    start = 0
    while start < len(kept) and needed + sum(costs[start:]) > room.tokens:
        start += 1
    asked = any(message["role"] == "user" for message in kept[start:])
    if needed > room.tokens // FIRST_SHARE or not asked or first["_id"] == kept[0]["_id"]:
        return list(kept)
    return [first, *kept[start:]]


async def _bound(message: Document) -> int:
    return most_tokens(_text(message)) + _beside(message)


async def _count(message: Document) -> int:
    return await asyncio.to_thread(count_tokens, _text(message)) + _beside(message)


def _text(message: Document) -> str:
    return "\n".join(part["text"]["value"] for part in message["content"] if part["type"] == "text")


def _beside(message: Document) -> int:
    if message["role"] != "user":
        return MESSAGE_TOKENS  # pictures that the code drew are not sent back
    images = len([part for part in message["content"] if part["type"] != "text"])
    return MESSAGE_TOKENS + images * IMAGE_TOKENS
