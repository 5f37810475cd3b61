"""The occurrences of one issue: listed, counted by release and route, and compared with traffic."""
