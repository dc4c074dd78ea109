"""From text to vectors. ``choose.py`` is the way in."""
