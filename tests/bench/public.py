"""``llm-sandbox``, a public library that does likewise, on the same daemon and image as our docker sandbox.

It gets an environment of its own, which is thrown away. Its session stays open and sets nothing up: what is
measured is a call. Each of its calls is a new interpreter, so no variable outlives one.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.spread import Spread

LIBRARY = "llm-sandbox[docker]==0.3.46"
UV = Path(sys.executable).with_name("uv")
PROGRAM = """
import json, sys, time
from llm_sandbox.docker import SandboxDockerSession

container = {
    "network_mode": "none",
    "command": ["sleep", "600"],
    "environment": {"PATH": "/opt/venv/bin:/usr/bin:/bin"},
}
image, times = sys.argv[1], int(sys.argv[2])
took = []
with SandboxDockerSession(
    image=image, keep_template=True, skip_environment_setup=True, workdir="/tmp", runtime_configs=container
) as session:
    session.run("print(1+1)")
    for _ in range(times):
        began = time.perf_counter()
        assert session.run("print(1+1)").stdout == "2\\n"
        took.append(time.perf_counter() - began)
print(json.dumps(took))
"""


def public_library(image: str, times: int) -> Spread | str:
    """A ``1+1`` through it, or why that was not measured."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin/python"
        commands: list[list[str | Path]] = [
            [UV, "venv", "-q", "--python", sys.executable, folder],
            [UV, "pip", "install", "-q", "--python", python, LIBRARY],
            [python, "-c", PROGRAM, image, str(times)],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        took: list[float] = json.loads(done.stdout)
        return Spread.of(took)
