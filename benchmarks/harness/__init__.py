"""What starts the rows, gives them their jobs in turn, and makes tables of their answers."""
