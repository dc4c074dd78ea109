"""Where windows are found: by words and by vectors. One table for each vector store and embedder.

The index is no truth: MongoDB says which generation of which file counts, and the index can be made anew from
the files. ``index.py`` is what an engine can do; ``lance.py`` is the one that needs no server.
"""
