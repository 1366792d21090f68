"""What the rows share. Standard library only: it is imported in every peer's environment."""
