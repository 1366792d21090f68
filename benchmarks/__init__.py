"""How fast the store is, beside what people use today and what the machine allows.

`python -m benchmarks` runs it; `docs/benchmarks/README.md` says what each number means.
"""
