"""What only this store is asked: trees, memory, many tasks, subscribers, a million sessions."""
