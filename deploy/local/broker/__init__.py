"""A small Kafka-protocol broker for one machine: development and tests only.

Everything is in memory and gone when the process ends. There is one node, no replication, no
authentication and no transactions. Each API is spoken in the one version that aiokafka 0.14 picks
(the requests are decoded with aiokafka's own schemas), so aiokafka and what is built on it, such as
FastStream, are the supported clients. Anywhere else run Apache Kafka: ``deploy/kafka`` starts one,
and ``tests/contract/test_broker.py`` holds both to the same behaviour.

Start reading at ``server.py``, then one module of requests (``record_requests``, ``topic_requests``,
``group_requests``), then what it acts on (``log``, ``topics``, ``groups``).
"""
