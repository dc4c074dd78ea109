"""The files of the API: their bytes in a storage of choice, their documents in MongoDB.

``library.py`` is the way in: it adds, reads and deletes files so that a crash at any point
leaves nothing behind that a later ``sweep`` does not find. The bytes go to one of three
storages with the same behaviour: ``gridfs.py``, ``disk.py``, ``s3.py``.
"""
