"""What a suite asks for, as sentences: the docstrings of its tests."""

import inspect
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """What belongs together; `tests` are the sentences by the names of their tests."""

    title: str
    tests: dict[str, str]


def contract(suite: type) -> list[Group]:
    """Return the groups of a suite, in the order of its bases."""
    groups: list[Group] = []
    for topic in suite.__mro__:
        tests = {
            name: " ".join((inspect.getdoc(test) or "").split())
            for name, test in vars(topic).items()
            if name.startswith("test_")
        }
        if tests:
            groups.append(Group(inspect.getdoc(topic) or "", tests))
    return groups
