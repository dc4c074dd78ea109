"""A model that says what its script says, in pieces, and sometimes fails."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Literal, TypeAlias

from services.run_orchestrator.model import Model
from services.run_orchestrator.prompt import CODE_INTERPRETER, Prompt
from services.run_orchestrator.replies import CallPiece, End, ModelTrouble, Piece, Text
from shared.runs.model import Run, Usage
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

Reply: TypeAlias = Literal["text", "code", "codes", "function", "both", "told code", "cut"]

FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {}}}
TOOLS = ({"type": CODE_INTERPRETER}, FUNCTION)
CALLS: dict[Reply, tuple[str, ...]] = {
    "code": (CODE_INTERPRETER,),
    "codes": (CODE_INTERPRETER, CODE_INTERPRETER),
    "function": ("weather",),
    "both": (CODE_INTERPRETER, "weather"),
    "told code": (CODE_INTERPRETER,),
}


class ScriptedModel(Model):
    """Answers one run, as far as its prompt says that it got: a real model knows no more either."""

    def __init__(self, world: "World", process: Process, run: Run) -> None:
        self._world, self._process, self._run = world, process, run

    def served_name(self, model: str) -> str:
        return model

    def window(self, model: str) -> int:
        return 128_000

    async def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        world, run = self._world, self._run
        script = world.scripts[run.id]
        done = sum("tool_calls" in message for message in prompt["messages"])
        reply = script[min(done, len(script) - 1)]
        with world.audit.asked(run, self._process, prompt):
            for piece in _pieces(reply, run, done):
                await asyncio.sleep(world.random.choice((0.0, 0.01, 0.1, 1.0)))
                await self._process.reach("the model's next piece")
                if world.strikes("model breaks off", self._process):
                    raise ModelTrouble("The connection broke.", passing=True)
                yield piece


def _pieces(reply: Reply, run: Run, done: int) -> list[Piece]:
    pieces: list[Piece] = []
    if reply in ("text", "told code", "cut"):
        pieces += [Text("It is "), Text(f"{done}, "), Text(f"said {run.id}.")]
    for index, name in enumerate(CALLS.get(reply, ())):
        arguments = json.dumps({"code": f"effect({done}, {index})"} if name == CODE_INTERPRETER else {})
        pieces += [CallPiece(index, name, ""), CallPiece(index, "", arguments)]
    reason = "tool_calls" if reply in CALLS else "length" if reply == "cut" else "stop"
    return [*pieces, End(reason, Usage(prompt_tokens=10, completion_tokens=5))]
