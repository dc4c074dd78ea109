"""A run: its document, the facts that change it, and the rules.

``model``    what is stored
``facts``    what can happen to a run
``rules``    (run, fact) -> run with its new events; the only place that decides
``views``    a run, a step or a message as the API shows it, now or at an earlier event

Pure: no clock, no randomness, no database, no broker.
"""
