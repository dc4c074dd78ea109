"""What clients send and what they get back.

One module for each kind of object holds its request models, which are closed: a field that
a version does not know is refused. Requests of both versions become the same stored form,
which is the v2 object; ``v1.py`` renders it for those who ask with v1.
``objects.py`` describes the answers, for the OpenAPI document.
"""
