"""One model turn as it is being written: each piece goes to the streams, each boundary to the store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.run_orchestrator.annotated import AnnotatedText, Shown
from services.run_orchestrator.code_argument import CodeArgument
from services.run_orchestrator.file_search import FILE_SEARCH, new_call, ranking
from services.run_orchestrator.frames import Deltas, call_delta, image_delta, message_delta
from services.run_orchestrator.ledger import Ledger
from services.run_orchestrator.passages import next_place
from services.run_orchestrator.prompt import CODE_INTERPRETER, Prompt, offered_functions, words_of
from services.run_orchestrator.replies import CallPiece, End, FaultyReply, Piece, Text
from services.run_orchestrator.shown import known_files, new_images
from shared import clock
from shared.ids import derived_id
from shared.runs import facts as f
from shared.runs.model import Json, Run, ToolCall, Usage
from shared.tokenizer import about_tokens

HOSTED = (CODE_INTERPRETER, FILE_SEARCH)
INCOMPLETE = {"length": "max_completion_tokens", "content_filter": "content_filter"}


@dataclass
class CallDraft:
    id: str
    name: str
    arguments: str = ""
    code: CodeArgument | None = None  # for code_interpreter

    def call(self, run: Run, place: int) -> ToolCall:
        """Raises FaultyReply."""
        if self.name == FILE_SEARCH:
            return new_call(run, self.id, self.arguments, place)
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
    sources: Mapping[str, Json] | None = None  # of the markers that the model knows; None: it knows none
    text: AnnotatedText = field(init=False)
    began: bool = False  # the message is there
    images: tuple[Json, ...] = ()  # of the code before this message
    calls: dict[int, CallDraft] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.text = AnnotatedText(self.sources, known_files(self.ledger.run))

    @property
    def content(self) -> tuple[Json, ...]:
        if not self.text.value:
            return ()
        value = {"value": self.text.value, "annotations": self.text.annotations}
        return (*self.images, {"type": "text", "text": value})

    @property
    def usage(self) -> Usage:
        """An estimate, for a reply that nobody counted: broken off, or from a server that does not count."""
        if not self.text.value and not self.calls:
            return Usage()
        written = self.text.value + "".join(call.arguments for call in self.calls.values())
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
        await self._show(self.text.feed(value))

    async def _show(self, pieces: Sequence[Shown]) -> None:
        if pieces and not self.began:
            await self._begin_message()
        for piece in pieces:
            await self.deltas.add(*piece)

    async def _begin_message(self) -> None:
        self.images = new_images(self.ledger.run)
        run = await self.ledger.save(f.MessageStarted(self.ledger.epoch, clock.now()))
        assert run.step is not None, "MessageStarted opens a step"
        self.began = True
        await self.deltas.begin(run, message_delta(run.step, index=len(self.images)))
        for index, image in enumerate(self.images):
            await self.deltas.send(*image_delta(run.step, index, image))

    async def _take_call(self, piece: CallPiece) -> None:
        if self.calls and piece.index not in self.calls and not self.ledger.run.settings.parallel_tool_calls:
            return  # not every model's server knows the setting
        if not self.calls:
            await self._show(self.text.finish())
            await self.deltas.flush()
            await self.ledger.save(f.CallsStarted(self.ledger.epoch, clock.now(), self.content))
        if piece.index not in self.calls:
            await self._begin_call(piece)
        call = self.calls[piece.index]
        call.arguments += piece.arguments
        if call.name != FILE_SEARCH:  # whose queries the API does not show
            await self.deltas.add(call.code.feed(piece.arguments) if call.code else piece.arguments)

    async def _begin_call(self, piece: CallPiece) -> None:
        run = self.ledger.run
        if piece.name not in offered_functions(run):
            raise FaultyReply(f"the model called {piece.name!r}, which it was not offered")
        assert run.step is not None, "CallsStarted opens a step"
        index = len(self.calls)
        code = CodeArgument() if piece.name == CODE_INTERPRETER else None
        call = CallDraft(derived_id("call", run.step.id, index), piece.name, code=code)
        self.calls[piece.index] = call
        kind = piece.name if piece.name in HOSTED else "function"
        wrap = call_delta(run.step, index, call.id, call.name, kind, ranking(run).model_dump())
        await self.deltas.begin(run, wrap)
        await self.deltas.add("")
        await self.deltas.flush()  # alone: SDK helpers take it for the begin, not for code

    async def _take_end(self, end: End) -> None:
        if not self.calls:
            await self._show(self.text.finish())
        await self.deltas.flush()
        now, epoch = clock.now(), self.ledger.epoch
        usage = end.usage or self.usage
        reason = INCOMPLETE.get(end.reason)
        if self.calls and not reason:
            await self.ledger.save(f.CallsMade(epoch, now, self._made_calls(), usage))
        elif self.text.value or reason:
            await self.ledger.save(f.Answered(epoch, now, self.content, usage, reason))
        else:
            raise FaultyReply("the reply is empty")

    def _made_calls(self) -> tuple[ToolCall, ...]:
        run = self.ledger.run
        place = next_place(run, self.sources or {})
        return tuple(draft.call(run, place + index) for index, draft in enumerate(self.calls.values()))
