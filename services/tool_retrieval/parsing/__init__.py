"""From the bytes of a file to its text. ``process.py`` is the way in; ``child.py`` is what it starts."""
