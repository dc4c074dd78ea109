"""Sandboxes for code that nobody has read.

| file | what it holds |
| --- | --- |
| choose.py | the strongest backend that works here, or why there is none |
| backend.py | what a backend is; the limits every one enforces |
| docker.py, bwrap.py, landlock.py | the three backends, strongest first |
| session.py | one live sandbox: frames in and out, the host's own caps and deadlines |
| execution.py | what came of one call |
| runtime.py | the interpreter that bwrap and landlock lend to the sandbox |
| driver/ | what runs inside; imports nothing of ours outside its folder |
"""
