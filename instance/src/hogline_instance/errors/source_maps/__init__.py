"""Source maps: uploaded or fetched, kept in SQL, and applied in a process of their own."""
