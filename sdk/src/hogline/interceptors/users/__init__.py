"""Callables for the option `distinct_id` that return the signed-in user of a login library."""
