"""The store: the engine, its two faces, and the handles on one session."""
