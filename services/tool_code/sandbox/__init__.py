"""Sandboxes for code that nobody has read.

| file | what it holds |
| --- | --- |
| choose.py | the strongest backend that works here, or why there is none |
| backend.py, limits.py | what a backend is; the limits every one enforces |
| docker.py, bwrap.py, landlock.py | the backends of one machine, strongest first |
| agent_sandbox.py | the backend of a Kubernetes cluster: a pod per session |
| pool.py | sandboxes kept warm in front of any backend |
| session.py | one live sandbox: requests out, frames in, the host's own deadline |
| running_call.py | the host's own account of a call: what it collects, and how much |
| channel.py | the pipe to a sandbox |
| execution.py | what came of one call |
| runtime.py | the interpreter that bwrap and landlock lend to the sandbox |
| session_folder.py | the disk that landlock lends to the sandbox |
| driver/ | what runs inside; imports nothing of ours outside its folder |
"""
