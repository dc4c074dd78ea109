"""The model of the chaos tests: what it does goes by its name; no two of its texts are alike."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.history import ModelCall
from tests.model_script import NamedModel, Reply, call, code, function
from tests.model_server import ModelServer, Request

# Counts in the session how often code took effect: see about_tools.EFFECT.
EFFECT = """
effects = globals().get("effects", 0) + 1
open(f"/mnt/data/effect-{effects}.txt", "w").write(str(effects))
print(f"effect {effects}")
"""
SLOW_EFFECT = "import time; time.sleep(%s)\n" + EFFECT

NAMES = """\
chaos-code-<s>       one code call that takes that many seconds
chaos-codes          two code calls at once
chaos-much           code that prints 5 MB
chaos-both           a code call and a function call at once
"""
"""Beside those of ``model_script.NAMES``."""


@dataclass
class ChaosModel(NamedModel):
    _replies: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def reply_to(self, body: dict[str, Any]) -> Reply:
        reply = self._reply_to(body)
        if reply.calls or reply.status != 200:
            return reply
        return replace(reply, deltas=(*reply.deltas, f" reply-{next(self._replies)}"))

    def _reply_to(self, body: dict[str, Any]) -> Reply:
        name = str(body.get("model", ""))
        kind, _, seconds = name.removeprefix("chaos-").partition("-")
        last = (body.get("messages") or [{}])[-1]
        if last.get("role") == "tool" and name != "fault-loop":
            return super().reply_to({**body, "model": "echo"})
        if kind == "code":
            source = SLOW_EFFECT % seconds if seconds else EFFECT
            return call(code(source), say_first="I run it.")
        if kind == "codes":
            return call(code(EFFECT), code(EFFECT))
        if kind == "much":
            return call(code("print('x' * 5_000_000)"))
        if kind == "both":
            return call(code(EFFECT), function("f"))
        return super().reply_to(body)


def chaos_server() -> ModelServer:
    return ModelServer(_named=ChaosModel())


def as_call(request: Request, now: float) -> ModelCall:
    """``now``: the end of what has not ended."""
    said = request.reply.text if not request.reply.calls and request.reply.status == 200 else ""
    ended_at = now if request.ended_at is None else request.ended_at
    return ModelCall(request.arrived_at, ended_at, request.body.get("messages") or [], said)
