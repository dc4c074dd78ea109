"""One model turn as it is being written: each piece goes to the streams, each boundary to the store."""

import json
import time
from dataclasses import dataclass, field

from services.run_orchestrator.code_argument import CodeArgument
from services.run_orchestrator.frames import Deltas, call_delta, image_delta, message_delta
from services.run_orchestrator.ledger import Ledger
from services.run_orchestrator.prompt import CODE_INTERPRETER, Prompt, offered_functions, words_of
from services.run_orchestrator.replies import CallPiece, End, FaultyReply, Piece, Text
from services.run_orchestrator.shown import known_files, links, new_images
from shared.ids import derived_id
from shared.runs import facts as f
from shared.runs.model import Json, ToolCall, Usage
from shared.tokenizer import about_tokens

INCOMPLETE = {"length": "max_completion_tokens", "content_filter": "content_filter"}


@dataclass
class CallDraft:
    id: str
    name: str
    arguments: str = ""
    code: CodeArgument | None = None  # for the hosted tool

    def call(self) -> ToolCall:
        """Raises FaultyReply."""
        if self.code is not None:
            return ToolCall(id=self.id, type="code_interpreter", name=self.name, input=self.code.finish())
        arguments = self.arguments or "{}"
        try:
            json.loads(arguments)
        except ValueError as error:
            raise FaultyReply(f"arguments of {self.name} are not JSON: {error}") from None
        return ToolCall(id=self.id, type="function", name=self.name, input=arguments)


@dataclass
class Draft:
    """Raises ``Fenced`` and ``Cancelled`` (see ``ledger``) where the run is no longer ours to write."""

    ledger: Ledger
    deltas: Deltas
    prompt: Prompt
    text: str = ""
    images: tuple[Json, ...] = ()  # of the code before this message
    calls: dict[int, CallDraft] = field(default_factory=dict)

    @property
    def content(self) -> tuple[Json, ...]:
        if not self.text:
            return ()
        annotations = links(self.text, known_files(self.ledger.run))
        return (*self.images, {"type": "text", "text": {"value": self.text, "annotations": annotations}})

    @property
    def usage(self) -> Usage:
        """An estimate, for a reply that nobody counted: broken off, or from a server that does not count."""
        if not self.text and not self.calls:
            return Usage()
        written = self.text + "".join(call.arguments for call in self.calls.values())
        asked = words_of(self.prompt)
        return Usage(prompt_tokens=about_tokens(asked), completion_tokens=about_tokens(written))

    async def take(self, piece: Piece) -> None:
        match piece:
            case Text(value):
                await self._take_text(value)
            case CallPiece():
                await self._take_call(piece)
            case End():
                await self._take_end(piece)

    async def _take_text(self, value: str) -> None:
        if self.calls:
            return  # text behind a call belongs nowhere in the API's order of steps
        if self.text:
            self.text += value
        else:
            images = new_images(self.ledger.run)
            run = await self.ledger.save(f.MessageStarted(self.ledger.epoch, time.time()))
            assert run.step is not None, "MessageStarted opens a step"
            self.images, self.text = images, value  # before a stream sees any of it
            await self.deltas.begin(run, message_delta(run.step, index=len(images)))
            for index, image in enumerate(images):
                await self.deltas.send(*image_delta(run.step, index, image))
        await self.deltas.add(value)

    async def _take_call(self, piece: CallPiece) -> None:
        if not self.calls:
            await self.deltas.flush()
            await self.ledger.save(f.CallsStarted(self.ledger.epoch, time.time(), self.content))
        if piece.index not in self.calls:
            await self._begin_call(piece)
        call = self.calls[piece.index]
        call.arguments += piece.arguments
        await self.deltas.add(call.code.feed(piece.arguments) if call.code else piece.arguments)

    async def _begin_call(self, piece: CallPiece) -> None:
        run = self.ledger.run
        if piece.name not in offered_functions(run):
            raise FaultyReply(f"the model called {piece.name!r}, which it was not offered")
        assert run.step is not None, "CallsStarted opens a step"
        index = len(self.calls)
        hosted = piece.name == CODE_INTERPRETER
        call = CallDraft(
            derived_id("call", run.step.id, index), piece.name, code=CodeArgument() if hosted else None
        )
        self.calls[piece.index] = call
        kind = CODE_INTERPRETER if hosted else "function"
        await self.deltas.begin(run, call_delta(run.step, index, call.id, call.name, kind))
        await self.deltas.add("")
        await self.deltas.flush()  # alone: SDK helpers take it for the begin, not for code

    async def _take_end(self, end: End) -> None:
        await self.deltas.flush()
        now, epoch = time.time(), self.ledger.epoch
        usage = end.usage or self.usage
        reason = INCOMPLETE.get(end.reason)
        if self.calls and not reason:
            calls = tuple(draft.call() for draft in self.calls.values())
            await self.ledger.save(f.CallsMade(epoch, now, calls, usage))
        elif self.text or reason:
            await self.ledger.save(f.Answered(epoch, now, self.content, usage, reason))
        else:
            raise FaultyReply("the reply is empty")
