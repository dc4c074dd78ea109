"""The collections that only the gateway knows: assistants, threads, API keys and their use, requests.

For objects of the API: ``live`` marks what was not deleted. A deleted object keeps its ``seq``, so that
a cursor on it stays valid, and nothing else. ``version`` counts the changes, and is the compare-and-set.
"""
