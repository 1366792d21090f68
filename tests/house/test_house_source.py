"""What every file of the package keeps: documented, short, and without dangerous things."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest
from house_kit import parsed, shown, sources

MAX_LINES = 400

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

FORBIDDEN_MODULES = {"dill", "marshal", "pickle", "shelve", "yaml"}
BLANKET = re.compile(r"#\s*(?:type|pyright|mypy): ignore(?!\[)|#\s*noqa(?!: ?[A-Z]+\d)")
FORBIDDEN_CALLS = {"eval", "exec", "os.popen", "os.system"}


def undocumented(tree: ast.Module, promised: set[str]) -> Iterator[str]:
    """Yield the public things without a docstring.

    A method may leave it to the protocol or the base class whose promise it keeps: those
    names are `promised`.
    """
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"line {node.lineno}: {node.name}"
            if isinstance(node, ast.ClassDef):
                yield from _undocumented_methods(node, promised)


def _undocumented_methods(owner: ast.ClassDef, promised: set[str]) -> Iterator[str]:
    for node in owner.body:
        if (
            isinstance(node, Definition)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
            and not (node.name in promised and not _is_protocol(owner))
            and not _is_variant(node)
            and not (_is_protocol(owner) and _is_property(node))
        ):
            yield f"line {node.lineno}: {owner.name}.{node.name}"


def _is_variant(node: Definition) -> bool:
    """Tell a setter or an overload, whose first form is the documented one."""
    return any(
        (isinstance(decorator, ast.Name) and decorator.id == "overload")
        or (isinstance(decorator, ast.Attribute) and decorator.attr in {"deleter", "setter"})
        for decorator in node.decorator_list
    )


def _is_property(node: Definition) -> bool:
    """Tell a property: in a protocol it is a field, which the class describes."""
    return any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)


def _is_protocol(node: ast.ClassDef) -> bool:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return any(isinstance(base, ast.Name) and base.id in {"ABC", "Protocol"} for base in bases)


def promises(trees: list[ast.Module]) -> set[str]:
    """Return the names of the methods that a protocol documents."""
    return {
        method.name
        for tree in trees
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef) and _is_protocol(owner)
        for method in owner.body
        if isinstance(method, Definition) and ast.get_docstring(method)
    }


def dangerous(tree: ast.Module) -> Iterator[str]:
    """Yield what would run or load things that data could choose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            yield from (f"line {node.lineno}: {name}" for name in names & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.partition(".")[0] in FORBIDDEN_MODULES:
                yield f"line {node.lineno}: {node.module}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).removeprefix("builtins.")
            if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}()"
            for keyword in node.keywords:
                is_false = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg == "shell" and not is_false:
                    yield f"line {node.lineno}: shell=True"


def test_every_public_thing_is_documented() -> None:
    promised = promises([parsed(path) for path in sources()])

    found = [
        f"{shown(path)}, {what}"
        for path in sources()
        for what in undocumented(parsed(path), promised)
    ]

    assert not found, "without a docstring:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("x = 1", ["the module"]),
        ('"""M."""\ndef do(): ...', ["line 2: do"]),
        ('"""M."""\nasync def do(): ...', ["line 2: do"]),
        ('"""M."""\nclass A:\n    """A."""\n    def do(self): ...', ["line 4: A.do"]),
        ('"""M."""\nclass A(Protocol):\n    """A."""\n    def keep(self): ...', ["line 4: A.keep"]),
        ('"""M."""\nclass A:\n    """A."""\n    def keep(self): ...', []),
        ('"""M."""\nclass _A:\n    def do(self): ...\ndef _do(): ...', []),
    ],
)
def test_a_missing_docstring_is_found(code: str, missing: list[str]) -> None:
    assert list(undocumented(ast.parse(code), {"keep"})) == missing


def test_every_name_that_the_package_offers_exists_and_is_documented() -> None:
    package = importlib.import_module("session_store")

    assert getattr(package, "__all__", None), "session_store has no __all__ yet"
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing):
            assert thing.__doc__, f"{name} has no docstring"


def test_the_offered_names_are_all_that_is_public() -> None:
    package = importlib.import_module("session_store")

    public = {
        name
        for name, thing in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(thing)
    }

    assert public <= set(getattr(package, "__all__", ()))


def test_every_file_is_short_enough_to_be_read() -> None:
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in sources()}

    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES}

    assert not too_long, "look for the seam inside"


def test_nothing_runs_what_data_could_choose() -> None:
    found = [f"{shown(path)}, {what}" for path in sources() for what in dangerous(parsed(path))]

    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml; yaml.load(text)",
        "eval(text)",
        "import builtins; builtins.exec(text)",
        "import os; os.system(text)",
        "import subprocess; subprocess.run(text, shell=True)",
        "import subprocess; subprocess.run(text, shell=wanted)",
    ],
)
def test_dangerous_code_is_found(code: str) -> None:
    assert list(dangerous(ast.parse(code)))


def test_harmless_code_is_left_alone() -> None:
    code = "import json, subprocess; subprocess.run(['ls'], shell=False); store.eval(json)"

    assert not list(dangerous(ast.parse(code)))


def test_a_silenced_checker_is_told_what_about() -> None:
    found = [shown(path) for path in sources() if BLANKET.search(path.read_text("utf-8"))]

    assert not found


def test_a_checker_silenced_altogether_is_found() -> None:
    assert BLANKET.search("x = 1  # type: ignore")
    assert BLANKET.search("x = 1  # noqa")
    assert not BLANKET.search("x = 1  # type: ignore[assignment]  # noqa: E501")
