"""The collections that only the gateway knows: assistants and threads.

``live`` marks what was not deleted. A deleted object keeps its ``seq``, so that a cursor on
it stays valid, and nothing else. ``version`` counts the changes, and is the compare-and-set.
"""
