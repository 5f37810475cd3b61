"""Propagation: the context of a request follows its work into queues, threads and other services.

`carrier.py` defines what travels, `tasks.py` what a worker does with it, `outgoing.py` which hosts get headers. The other
files each adapt one library, which no other file imports, and decide nothing.
"""
