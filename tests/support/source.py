"""The project's own source, read as syntax trees: for rules that no linter knows."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "payadmin"


@cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(file.read_text(), filename=str(file))


def files(*folders: str) -> Iterator[Path]:
    """Every Python file below these folders or files of the package ("" is all of it)."""
    for folder in folders:
        place = PACKAGE / folder if folder else PACKAGE
        yield from sorted([place] if place.is_file() else place.rglob("*.py"))


def relative(file: Path) -> str:
    """How a finding names a file."""
    return str(file.relative_to(ROOT))


def names(node: ast.AST) -> set[str]:
    """Every identifier, attribute and text that `node` mentions, and the last part of dotted texts."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            found.add(part.id)
        elif isinstance(part, ast.Attribute):
            found.add(part.attr)
        elif isinstance(part, ast.alias):
            found.add(part.name.rpartition(".")[2])
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) < 100:
            found.add(part.value.rpartition(".")[2])
    return found


def functions(*folders: str) -> dict[str, ast.Module]:
    """Every function and method in these folders by its bare name; those that share a name stand together."""
    found: dict[str, ast.Module] = {}
    for file in files(*folders):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, ast.Module(body=[], type_ignores=[])).body.append(node)
    return found


def calls(file: Path) -> Iterator[ast.Call]:
    """Every call in a file."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            yield node


def dotted(node: ast.AST) -> str:
    """`a.b.c` as text; what is not a plain name becomes `?`."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"
