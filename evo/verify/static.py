"""Checks of a candidate's files before anything is run: syntax, the contract, the settings that may not change.

It reads syntax trees and never imports or runs a file.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo.status import Status

if TYPE_CHECKING:
    from evo.evaluator import Evaluator, Setting


@dataclass(frozen=True)
class Failure:
    """A named failure with its one-line reason."""

    status: Status
    reason: str


def parse(source: str) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it has none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a candidate's string is its own affair
        try:
            return ast.parse(source)
        except SystemError:  # CPython 3.11: a finaliser that ran meanwhile parsed something too
            return ast.parse(source)


def check(files: dict[str, str], evaluator: "Evaluator") -> Failure | None:
    """The first thing that is wrong with `files`, or None.

    Looks for, in this order: a syntax error, a missing `train()` or `GPT`, a protected setting that changed.
    """
    trees = {}
    for name in evaluator.spec.files:
        try:
            trees[name] = parse(files[name])
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            where = f"{name} line {line}" if line else name
            return Failure(Status.SYNTAX_ERROR, f"{where}: {getattr(error, 'msg', None) or type(error).__name__}")
    train, model = (trees[name] for name in evaluator.spec.files)
    if "train" not in _top_level_names(train):
        return Failure(Status.CONTRACT, f"{evaluator.spec.files[0]} does not define train()")
    if "GPT" not in _top_level_names(model):
        return Failure(Status.CONTRACT, f"{evaluator.spec.files[1]} does not define GPT")
    return _changed_setting(train, evaluator.spec.settings, evaluator.spec.files[0])


def _top_level_names(tree: ast.Module) -> set[str]:
    return {name for node in tree.body for name, _ in _bindings(node, deep=False)}


def _changed_setting(tree: ast.Module, settings: "dict[str, Setting]", file: str) -> Failure | None:
    """A setting that is not bound exactly once, at the top level, to the literal expected."""
    literals = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if settings and isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            reason = f"{next(iter(settings))}: could be set by import * on line {node.lineno}; expected imports by name"
            return Failure(Status.PROTECTED_SETTING, reason)
    bound: dict[str, list[int]] = {}
    for node in ast.walk(tree):
        for name, line in _bindings(node, deep=True):
            bound.setdefault(name, []).append(line)
    for name, expected in settings.items():
        if name not in bound:
            return Failure(Status.PROTECTED_SETTING, f"{name}: expected {expected!r}, found no such setting in {file}")
        if len(bound[name]) > 1:
            lines = ", ".join(map(str, sorted(bound[name])))
            return Failure(
                Status.PROTECTED_SETTING, f"{name}: expected {expected!r} set once, found it on lines {lines}"
            )
        found = _literal(literals.get(name))
        if type(found) is not type(expected) or found != expected:
            source = _source(literals.get(name))
            return Failure(Status.PROTECTED_SETTING, f"{name}: expected {expected!r}, found {source}")
    return None


def _source(node: ast.expr | None) -> str:
    """An expression as a reason quotes it."""
    if node is None:
        return "no plain assignment"
    try:
        return ast.unparse(node)[:80]
    except (RecursionError, ValueError):
        return "a long expression"


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _bindings(node: ast.AST, *, deep: bool) -> Iterator[tuple[str, int]]:
    """Names that `node` binds, with their lines; `deep` counts single Name stores, else those of whole statements."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node.lineno
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield (alias.asname or alias.name).split(".")[0], node.lineno
    elif isinstance(node, ast.arg) and deep:
        yield node.arg, node.lineno
    elif isinstance(node, ast.Name) and deep and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id, node.lineno
    elif isinstance(node, ast.Global | ast.Nonlocal) and deep:
        for name in node.names:
            yield name, node.lineno
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and deep and node.name:
        yield node.name, getattr(node, "lineno", 0)
    elif isinstance(node, ast.MatchMapping) and deep and node.rest:
        yield node.rest, node.lineno
    elif isinstance(node, ast.Assign | ast.AnnAssign) and not deep:
        for target in ast.walk(node):
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                yield target.id, node.lineno
