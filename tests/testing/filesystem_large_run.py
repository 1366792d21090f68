"""The suite on a file system that loses a byte far inside large files, and nothing else.

In a process of its own, and never collected by its name: its failures are what is wanted.
"""

from filesystem_broken import Case, ForgetsLargeTails
from filesystem_broken_run import suite_of

TestReads = suite_of("Reads", Case(ForgetsLargeTails, ("read_of_large",)))
TestWrites = suite_of("Writes", Case(ForgetsLargeTails, ("write_takes_large",)))
TestAppends = suite_of("Appends", Case(ForgetsLargeTails, ("append_takes_large",)))
