"""What the services share: the contract between them, and plumbing that must be identical.

======================  ====================================================
``runs/``               a run: its document, its facts, its rules, its views
``stores/``             runs, messages, files, vector stores in MongoDB; the driver; list pages
``files/``              the bytes of files: three storages, and what keeps them in order
``topics``              every Kafka topic, named once
``events``              the body of every message on Kafka
``feed``                state changes as CloudEvents
``publisher``           what leaves a service for Kafka
``kafka``               topics made, brokers built
``records``             one record, until it is handled or set aside
``dead_letters``        what is set aside, and why
``settings``, ``logs``  what every service reads and writes alike
``metrics``             every number for Prometheus, named once
``tracing``             traces of OpenTelemetry, and the names of its conventions
``tokenizer``           tokens counted, and where they end
``ids``, ``errors``     names of objects, and of what goes wrong
``version``             which Threadmill this is
``failpoints``          places where tests make a process die
``backoff``             how long to wait before trying again
======================  ====================================================

Nothing here knows a service.
"""
