"""Everything tool_code reads from its environment, beside what all services read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from services.tool_code.sandbox.agent_sandbox import Pods
from services.tool_code.sandbox.limits import Limits
from shared.files.settings import FileSettings


class Settings(FileSettings):
    port: PositiveInt = 8082

    # auto: the strongest that works here; agent-sandbox: pods of Kubernetes, only when asked for
    sandbox: Literal["auto", "docker", "bwrap", "landlock", "agent-sandbox"] = "auto"
    sandbox_image: str = "threadmill/sandbox"
    sandbox_runtime: str | None = None  # Docker's: runc, runsc, kata; of pods: a RuntimeClass like gvisor
    sandbox_pool: str = "sandboxes"  # agent-sandbox: the SandboxWarmPool
    sandbox_namespace: str | None = None  # agent-sandbox: where the pool is; None: the service's own
    sandbox_secret: SecretStr = SecretStr("")  # agent-sandbox: the pods know it too
    sandbox_port: PositiveInt = 8765  # agent-sandbox: of the pods
    sandbox_limits: Limits = Field(default_factory=Limits)
    scratch: Path = Path(".threadmill/sandbox")  # a folder for this service alone

    call_timeout_s: PositiveFloat = 60.0
    warm_sandboxes: NonNegativeInt = 1  # started ahead, each about 90 MB
    most_sandboxes: PositiveInt | None = None  # kept for their threads; None: by memory, 128 MiB of 60 % each
    session_idle_s: PositiveFloat = 3600.0
    concurrent_calls: PositiveInt = 4
    drain_s: NonNegativeFloat = 0.0  # calls that run when the service is stopped get this long to end
    lease_s: PositiveFloat = 10.0  # a worker silent for this long loses its call

    @property
    def pods(self) -> Pods:
        """What the settings say of the pods of agent-sandbox."""
        secret = self.sandbox_secret.get_secret_value()
        return Pods(self.sandbox_pool, self.sandbox_namespace, secret, self.sandbox_port)
