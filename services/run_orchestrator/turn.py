"""One model turn of one run, from the prompt to the reply in the store, whatever happens on the way."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing

from services.run_orchestrator.context import PromptBudgetUsedUp, keep_first, room_for, select
from services.run_orchestrator.draft import Draft
from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.frames import Deltas
from services.run_orchestrator.ledger import Cancelled, Fenced, Ledger
from services.run_orchestrator.model import Model
from services.run_orchestrator.pictures import Pictures
from services.run_orchestrator.prompt import Beside, Prompt, build_prompt, completion_budget
from services.run_orchestrator.replies import ModelTrouble
from services.run_orchestrator.searchable import StoreExpired
from services.run_orchestrator.surroundings import Surroundings, sources_of
from shared import clock
from shared.backoff import backoff_s
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.runs import facts as f
from shared.runs.model import Json, Run, Slot, Usage
from shared.runs.rules import SORRY
from shared.stores.database import Document, PyMongoError
from shared.stores.messages import MessageStore
from shared.tasks import both

log = logging.getLogger(__name__)

RETRY_FIRST_S = 0.5
RETRY_MOST_S = 8.0


class Turn:
    """Works on a run that this process has claimed; ends with the run in another phase, or given up."""

    def __init__(
        self,
        ledger: Ledger,
        model: Model,
        messages: MessageStore,
        publisher: Publisher,
        follow_up: FollowUp,
        surroundings: Surroundings,
        pictures: Pictures,
        *,
        aside: Callable[[], AbstractAsyncContextManager[None]],
        tries: int,
    ) -> None:
        self._ledger = ledger
        self._model = model
        self._messages = messages
        self._follow_up = follow_up
        self._surroundings = surroundings
        self._pictures = pictures
        self._aside = aside
        self._tries = tries
        self._deltas = Deltas(publisher)
        self._draft = Draft(ledger, self._deltas, {})

    async def work(self) -> None:
        """Never raises, but for cancellation of the task: then the run is still ours, and unfinished."""
        run = self._ledger.run
        try:
            async with asyncio.timeout(max(run.expires_at - clock.now(), 0.0)):
                await self._converse()
        except (Fenced, Cancelled, TimeoutError, ModelTrouble, StoreExpired, PyMongoError) as error:
            await self._end_early(error)
        except Exception as error:
            log.exception("a model turn failed")
            await self._end_early(error)
        finally:
            await self._deltas.close()

    async def show(self, slot: Slot) -> None:
        """One more stream watches: it gets what was written so far behind the last event, and what comes."""
        self._ledger.admit(slot)
        await self._deltas.show(slot)

    async def stop(self) -> None:
        """The run is to be cancelled, and nobody reads from the model any more."""
        failpoint("orchestrator.stopped")
        await self._conclude(
            f.Stopped(self._ledger.epoch, clock.now(), self._draft.content, self._draft.usage)
        )

    async def release(self) -> Run:
        """Give the unfinished run to whoever wants it."""
        return await self._ledger.save(f.Released(self._ledger.epoch, clock.now()))

    async def _converse(self) -> None:
        """Ask until there is a good reply, and save it.

        Raises:
            ModelTrouble: there is none.
            StoreExpired: a vector store of the run is gone.
        """
        if completion_budget(self._ledger.run) == 0:
            await self._conclude(self._out_of("max_completion_tokens"))
            return
        failpoint("orchestrator.turn_begun")
        try:
            (prompt, sources), _ = await both(self._read(), self._ledger.tell())
        except PromptBudgetUsedUp:
            await self._conclude(self._out_of("max_prompt_tokens"))
            return
        failpoint("orchestrator.claim_announced")
        self._draft = Draft(self._ledger, self._deltas, prompt, sources)
        model = self._ledger.run.settings.model
        for failures in range(1, self._tries + 1):
            try:
                failpoint("orchestrator.model_asked")
                async with aclosing(self._model.stream(model, self._draft.prompt)) as pieces:
                    async for piece in pieces:
                        await self._draft.take(piece)
                        failpoint("orchestrator.piece_taken")
            except ModelTrouble as trouble:
                if failures == self._tries or not trouble.passing:
                    raise
                await self._start_over(trouble, failures)
            else:
                failpoint("orchestrator.turn_done")
                await self._follow_up.after(self._ledger.run)
                return

    async def _read(self) -> tuple[Prompt, Mapping[str, Json] | None]:
        """Return what the model is told, and what its markers may refer to.

        Raises:
            PromptBudgetUsedUp: what must be told is more than the run may use.
            StoreExpired: a vector store of the run is gone.
        """
        run = self._ledger.run
        await self._surroundings.stores.ready(run, self._aside)
        beside = await self._surroundings.of(run, self._model.window(run.settings.model))
        thread = await self._pictures.put_into(run, await self._thread(run, beside))
        return build_prompt(run, thread, beside), sources_of(run, thread, beside)

    async def _thread(self, run: Run, beside: Beside) -> list[Document]:
        """The messages that fit. Raises PromptBudgetUsedUp."""
        room = await room_for(run, self._model.window(run.settings.model), beside)
        strategy = run.settings.truncation_strategy
        async with aclosing(self._messages.newest(run.thread_id, upto=run.input_upto)) as newest:
            kept = await select(newest, room, strategy.get("last_messages"))
        if not kept or strategy["type"] != "auto":
            return kept
        first = await self._messages.first(run.thread_id) if kept[0]["seq"] > 1 else None
        return await keep_first(kept, first, room) if first else kept

    async def _start_over(self, trouble: ModelTrouble, failures: int) -> None:
        wait_s = backoff_s(failures, first_s=RETRY_FIRST_S, most_s=RETRY_MOST_S)
        if trouble.retry_after_s is not None:
            wait_s = trouble.retry_after_s
        log.warning("asking the model again", extra={"reason": str(trouble), "wait_s": round(wait_s, 2)})
        await self._deltas.flush()
        await self._ledger.save(f.Restarted(self._ledger.epoch, clock.now()))
        failpoint("orchestrator.asking_again")
        self._draft = Draft(self._ledger, self._deltas, self._draft.prompt, self._draft.sources)
        await asyncio.sleep(wait_s)

    async def _end_early(self, error: Exception) -> None:
        now, epoch = clock.now(), self._ledger.epoch
        written = (self._draft.content, self._draft.usage)
        match error:
            case Fenced():
                log.warning("the run has another owner; its turn is dropped here")
            case Cancelled():
                await self.stop()
            case TimeoutError():
                await self._conclude(f.Expired(now, *written))
            case ModelTrouble():
                log.warning("the model gave no usable reply", extra={"reason": str(error)})
                text = SORRY if error.code == "server_error" and error.passing else str(error)
                await self._conclude(f.Failed(epoch, now, error.code, text, *written))
            case StoreExpired():
                await self._conclude(f.Failed(epoch, now, "invalid_prompt", str(error)))
            case PyMongoError():
                log.error("the store does not answer; the run goes on after its lease", exc_info=error)
            case _:
                await self._conclude(f.Failed(epoch, now, "server_error", SORRY, *written))

    async def _conclude(self, fact: f.Fact) -> None:
        """Save a fact that ends the run, and end it."""
        try:
            await self._deltas.flush()
            run = await self._ledger.save(fact)
        except Fenced:
            run = self._ledger.run  # another epoch decided: its end, if it is one, is settled all the same
            await self._follow_up.show_messages(run)
        except PyMongoError as error:
            log.error("the store does not answer; a sweeper ends the run", exc_info=error)
            return
        if run.phase == "ending":
            await self._follow_up.settle(run)

    def _out_of(self, budget: str) -> f.Answered:
        return f.Answered(self._ledger.epoch, clock.now(), (), Usage(), budget)
