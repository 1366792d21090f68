"""One row of the benchmark a file; each is a program that answers jobs, a JSON line each."""
