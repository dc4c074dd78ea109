"""Moves every run from queued to an end state.

Consumes  ``run-commands`` (look at this run), ``tool-results``, ``control`` (cancel)
Emits     ``thread-events`` (the public feed), ``run-stream`` (frames), ``tool-requests.code``,
          ``tool-requests.retrieval``, ``run-commands`` (a run handed over)
Stores    ``runs``, ``messages``; reads ``search_results`` and the vector stores

Read ``handlers.py`` first, then ``turns.py``; ``shared/runs/rules.py`` holds the rules.
"""
