"""Session replay: what the browser's recorder sends. Recordings are accepted and not kept today."""
