"""The code interpreter: runs the Python that models write, each thread in a sandbox of its own."""
