"""Live events: the first page, its stream, and `hogline tail` for a terminal."""
