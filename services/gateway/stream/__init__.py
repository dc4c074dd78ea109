"""From the topic ``run-stream`` to open event streams.

===============  ==================================================================
``streams``      what the routes use: ``Streams.open()`` and ``Stream.follow()``
``sequence``     the events and deltas of one run, put in order (pure)
``sums``         what clients will have added up, and what is missing (pure)
``arithmetic``   adding deltas up as the clients' libraries do, and the reverse (pure)
``places``       where a client is, so that it can come back there (pure)
``inbox``        the bounded queue between Kafka and one client
``watch``        when a stream looks into the store, when its client gets a ping (pure)
``reading``      one read of the run beside the stream
``listener``     Kafka: one partition, read without a group
``lease``        MongoDB: which partition belongs to this process
``frames``       a record's value, parsed on the fast path
``pace``         every interval, in one place
===============  ==================================================================

A frame may be lost, late, repeated or out of order; Kafka may be away. The store has every
event, so a stream is only ever late, and its deltas always add up to what was stored.
"""
