"""Benchmarks: numbers with units, beside named peers measured in the same run. No test depends
on a time.
"""
