"""Everything tool_code reads from its environment, beside what all services read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from services.tool_code.sandbox.limits import Limits
from shared.files.settings import FileSettings


class Settings(FileSettings):
    port: PositiveInt = 8082

    sandbox: Literal["auto", "docker", "bwrap", "landlock"] = "auto"  # auto: the strongest that works here
    sandbox_image: str = "threadmill/sandbox"
    sandbox_runtime: str | None = None  # Docker's: runc, runsc, kata
    sandbox_limits: Limits = Field(default_factory=Limits)
    scratch: Path = Path(".threadmill/sandbox")  # a folder for this service alone

    call_timeout_s: PositiveFloat = 60.0
    warm_sandboxes: NonNegativeInt = 1  # started ahead, each about 90 MB
    session_idle_s: PositiveFloat = 3600.0
    concurrent_calls: PositiveInt = 4
    drain_s: NonNegativeFloat = 0.0  # calls that run when the service is stopped get this long to end
    lease_s: PositiveFloat = 10.0  # a worker silent for this long loses its call
