"""The past of people and groups: what changed, their properties over time, and who acts for whom.

It knows people and the store, and writes nothing.
"""
