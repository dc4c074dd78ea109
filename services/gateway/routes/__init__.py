"""The operations of the API: one file for each kind of object. Handlers read, decide, and answer."""
