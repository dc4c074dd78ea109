"""What other back ends may rely on, written down from the code: ``python -m deploy.contracts``.

``schemas``   a JSON Schema of each message on Kafka, and of the public feed's headers
``asyncapi``  topics, messages, and who sends and receives them, as AsyncAPI 3.0
``changes``   what one version of a schema breaks of the one before

All of it goes to ``docs/``; a schema there is the last one that was promised.
"""
