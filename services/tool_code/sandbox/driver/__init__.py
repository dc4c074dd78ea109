"""What runs inside the sandbox: a supervisor that cannot be killed or read, and the worker it forks.

The supervisor speaks frames with the host on stdin and stdout; the worker holds the IPython shell and
runs the code. Everything the worker says is hostile input. `main.py` is where to start reading.

The folder is copied into each sandbox as it is, so it may import only the standard library, IPython
(shell.py) and, where Landlock is the wall, landlockpy (domain.py).
"""
