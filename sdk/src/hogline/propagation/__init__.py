"""Propagation: the context of a request goes where its work goes: into queues, threads, and other services.

`carrier.py` says what travels, `tasks.py` what a queue does with it, `outgoing.py` which hosts are told; then one file for
each library, which decides nothing. A library is imported only by the file that is named after it.
"""
