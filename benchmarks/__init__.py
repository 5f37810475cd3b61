"""Numbers with units, each beside a named peer in the same run. Never a timed test."""
