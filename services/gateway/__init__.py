"""HTTP in, objects and event streams out: the API that clients see.

Consumes  HTTP requests; ``run-stream`` (frames for the open event streams)
Emits     ``run-commands``, ``control``, ``thread-events``, ``run-stream``, ``file-commands``,
          ``tool-requests.retrieval``
Stores    ``assistants``, ``threads``, ``api_keys``, ``requests``, ``vector_store_file_batches`` and the use
          of limits; writes ``messages``, ``runs``, ``files``, ``vector_stores`` and ``vector_store_files``
          through ``shared/stores``

Read ``routes/`` first: one file for each kind of object. What a request may say is in ``wire/``, who
may ask in ``gate.py``, how a run comes to be in ``run_creation.py``, and what then leaves for Kafka in
``announcer.py``.
"""
