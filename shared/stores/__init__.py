"""All access to what several services keep in MongoDB, one module per collection.

Rules that hold for every MongoDB and are vital on the embedded one: a decision is one
``update_one`` with the expected fields in its filter, judged by ``matched_count``; no
``findAndModify``, no ``$or`` or ``$and``; every filter begins with the equality fields of
an index; pages follow an indexed sequence.
"""
