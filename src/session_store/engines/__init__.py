"""Engines beside the folder: databases and servers that keep what a store keeps, one a file."""
