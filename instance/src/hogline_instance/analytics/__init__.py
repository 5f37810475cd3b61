"""Questions asked of the store: SQL with bound parameters in, frozen values out.

Knows the events table and what events mean to a reader. Must not know HTTP, HTML or who is asking.
"""
