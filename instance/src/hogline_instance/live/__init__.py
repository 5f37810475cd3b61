"""Live events: the first page, its stream, and `hogline tail`, which shows the same stream in a terminal."""
