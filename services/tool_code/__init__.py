"""The code interpreter: runs the Python that models write, each thread in a sandbox of its own.

Consumes  ``tool-requests.code``, ``control`` (cancel)
Emits     ``tool-results``, ``run-stream`` (what the code prints, while it runs)
Stores    ``tool_executions`` (the ledger of calls), ``code_sessions``, files

Read ``handlers.py`` first, then ``calls.py``; ``sandbox/`` holds the sandboxes.
"""
