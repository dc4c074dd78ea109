"""Retrieval: takes the files of vector stores in, and searches them.

Consumes  ``file-commands``, ``tool-requests.retrieval``
Emits     ``tool-results``; ``run-stream``, when a client's own search is done
Stores    ``parsed_files`` and ``parsed_texts`` (the text of files), ``search_results``, ``index_tables``, the
          state of ``vector_store_files``, ``tool_executions`` (the ledger of calls); the index itself

Read ``handlers.py`` first. Then, for a file: ``ingest.py``, ``parsing/``, ``chunking.py``, ``embedding/``,
``index/``. For a search: ``calls.py``, ``searches.py``, ``scoring.py``.
"""
