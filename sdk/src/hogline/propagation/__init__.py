"""Propagation: the context of a request follows its work into queues, threads and other services.

`carrier.py` defines the data that travels, `tasks.py` applies it in a worker, and `outgoing.py`
lists the hosts that get headers. The other files each adapt one library, which no other file
imports, and decide nothing.
"""
