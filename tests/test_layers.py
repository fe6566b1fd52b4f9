"""The house: packages lie in layers, imports run down, and no two modules share a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import ownwords

ROOT = Path(ownwords.__file__).parent
LAYERS = (
    "configuration", "io", "numbers", "rsd", "records", "models", "chat", "answers", "problems", "traces", "engines",
    "vllm", "generation", "suitability", "training", "evaluation", "sharing", "reports", "world", "api", "studies",
    "cli", "__main__",
)  # fmt: skip
"""from the ground up: a package imports from itself and from those before it"""
SAME = {"config", "options", "soft"}
"""names that stand for one concept in several packages; modules of `cli` are named after what they command"""
LONGEST = 300


@cache
def imports() -> dict[str, set[str]]:
    """module -> our modules that it imports, anywhere in it; names without the leading `ownwords.`"""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    named, found = {f"ownwords.{module}" for module in files}, defaultdict(set)
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found[module] |= {a.name.removeprefix("ownwords.") for a in node.names if a.name in named}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ownwords."):
                target = (node.module or "").removeprefix("ownwords.")
                within = {f"{target}.{alias.name}" for alias in node.names} & files.keys()
                found[module] |= within or {target}
    return found


def package(module: str) -> str:
    return module.split(".")[0]


def test_imports_run_down():
    arrows = {(module, other) for module, others in imports().items() for other in others if package(module) in LAYERS}
    up = {(a, b) for a, b in arrows if LAYERS.index(package(a)) < LAYERS.index(package(b))}
    assert up == set()


def test_every_package_has_a_layer():
    assert {package(module) for module in imports() if module != "__init__"} <= set(LAYERS)


def test_no_module_imports_itself_by_way_of_others():
    seen: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' -> '.join([*path, module])}"
        if module not in seen:
            for other in sorted(imports().get(module, ())):
                visit(other, (*path, module))
            seen.add(module)

    for module in sorted(imports()):
        visit(module, ())


def test_no_module_is_named_twice():
    of: dict[str, list[str]] = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        if path.stem not in SAME | {"__init__"} and path.parent.name != "cli":
            of[path.stem].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in of.items() if len(paths) > 1} == {}


def test_no_module_is_longer_than_a_reader_likes():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {path: n for path, n in lengths.items() if n > LONGEST} == {}
