"""Name resolution in a candidate's files: protected settings and imports.

The train file must bind each protected setting once, at the top level, to the evaluator's literal. `Names` tells which imported
module a name may refer to. The files are never run.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Setting = bool | int | float | str
"""Type of a protected setting: a literal of the evaluator."""

UNTAKEN = frozenset({"exec", "globals", "locals", "__import__", "setattr", "delattr"})
"""Builtins whose names an honest file does not rebind. A rebinding counts only if it clearly comes before the use."""
_MOST_PATHS, _LONGEST_PATH = 64, 16
"""Limits on the import paths followed for a name and on the parts of one path, because hostile code could make both long."""


def bindings(node: ast.AST, *, deep: bool) -> Iterator[tuple[str, int]]:
    """Yield the names that `node` binds, with their lines. `deep` yields single Name stores, else those of whole statements."""
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
        yield node.name, at(node)
    elif isinstance(node, ast.MatchMapping) and deep and node.rest:
        yield node.rest, node.lineno
    elif type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple") and deep:  # Python 3.12: def f[name](): ...
        yield getattr(node, "name", ""), at(node)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and not deep:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node.lineno


# ---- the train file's own bindings ----


def rebound(tree: ast.Module, settings: Mapping[str, Setting], file: str) -> str | None:
    """Return why a setting is not bound exactly once, at the top level, to its expected literal. None if all are."""
    literals: dict[str, ast.expr | None] = {}
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if isinstance(statement, ast.Assign | ast.AnnAssign) and len(targets) == 1 and isinstance(targets[0], ast.Name):
            literals[targets[0].id] = statement.value
    bound: dict[str, list[int]] = {}
    for node in ast.walk(tree):
        if settings and isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return f"{next(iter(settings))}: could be set by import * on line {node.lineno}; expected imports by name"
        for name, line in bindings(node, deep=True):
            bound.setdefault(name, []).append(line)
    for name, expected in settings.items():
        if name not in bound:
            return f"{name}: expected {expected!r}, found no such setting in {file}"
        if len(bound[name]) > 1:
            lines = ", ".join(map(str, sorted(bound[name])))
            return f"{name}: expected {expected!r} set once, found it on lines {lines}"
        found = _literal(literals.get(name))
        if type(found) is not type(expected) or found != expected:
            return f"{name}: expected {expected!r}, found {source(literals.get(name))} on line {bound[name][0]}"
    return None


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def source(node: ast.AST | None) -> str:
    """Return the source of an expression, shortened for a reason."""
    if node is None:
        return "no plain assignment"
    try:
        written = ast.unparse(node)
    except (RecursionError, ValueError):
        return "a long expression"
    return written if len(written) <= 80 else written[:77] + "..."


def at(node: ast.AST) -> int:
    """Return the line of a node, from 1. 0 if the node has none."""
    line: int = getattr(node, "lineno", 0)
    return line


# ---- what a name may refer to ----


@dataclass(eq=False)
class Scope:
    """Names of a module, class, function or comprehension, each with the import paths that it may refer to."""

    above: "Scope | None" = None
    is_class: bool = False
    apart: ast.AST | None = None
    """First iterable of a comprehension, which is evaluated in the enclosing scope."""
    names: dict[str, set[str]] = field(default_factory=dict)
    arguments: set[str] = field(default_factory=set)
    """The names that are arguments."""
    elsewhere: "dict[str, Scope]" = field(default_factory=dict)
    """Names declared global or nonlocal."""

    def home(self, name: str) -> "Scope | None":
        """Return the scope whose `name` is read here. None for a builtin."""
        scope: Scope | None = self
        while scope is not None:
            scope = scope.elsewhere.get(name, scope)
            if name in scope.names and (scope is self or not scope.is_class):
                return scope
            scope = scope.above
        return None

    def owner(self) -> "Scope":
        """Return the scope in which an assignment expression (:=) of this scope binds."""
        scope = self
        while scope.apart is not None and scope.above is not None:
            scope = scope.above
        return scope

    def bind(self, name: str) -> set[str]:
        """Record a name bound here. Return its mutable set of import paths."""
        return self.elsewhere.get(name, self).names.setdefault(name, set())


class Names:
    """Nodes of a file in source order, each with its scope, and the import paths of its names."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope()
        self.nodes: list[tuple[ast.AST, Scope]] = []
        self._stars: list[str] = []
        self._deleted: set[str] = set()
        self._first: dict[str, int] = {}
        """Names bound by a top-level statement, with the line from which they are bound."""
        for statement in tree.body:
            end = statement.end_lineno if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            for name, line in bindings(statement, deep=False):
                self._first.setdefault(name, end or line)
        stack: list[tuple[ast.AST, Scope]] = [(tree, self.module)]
        while stack:
            node, scope = stack.pop()
            self.nodes.append((node, scope))
            self._bind(node, scope)
            stack.extend(reversed(_parts(node, scope)))
        self._follow()

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Global | ast.Nonlocal):
            outer = self.module if isinstance(node, ast.Global) else scope.above
            if scope is not self.module and outer is not None:
                scope.elsewhere.update(dict.fromkeys(node.names, outer))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                scope.bind(alias.asname or top).add(alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    self._stars.append(node.module or "")
                else:
                    scope.bind(alias.asname or alias.name).add(f"{node.module}.{alias.name}")
        else:
            for name, _ in bindings(node, deep=True):
                deleted = isinstance(getattr(node, "ctx", None), ast.Del)
                if deleted and scope.elsewhere.get(name, scope) is self.module:
                    self._deleted.add(name)
                else:
                    scope.bind(name)
                if isinstance(node, ast.arg):
                    scope.arguments.add(name)

    def _follow(self) -> None:
        """Add import paths to names that are assigned an import or an attribute of one."""
        aliases = [
            (scope.owner().bind(name), value, scope)
            for node, scope in self.nodes
            for name, value in _aliases(node)
            if _is_path(value)
        ]
        for _ in range(8):
            before = sum(len(names) for names, _, _ in aliases)
            for names, value, scope in aliases:
                if len(names) < _MOST_PATHS:
                    names |= {path for path in self.paths(value, scope) if path.count(".") <= _LONGEST_PATH}
            if sum(len(names) for names, _, _ in aliases) == before:
                break

    def paths(self, node: ast.AST, scope: Scope) -> set[str]:
        """Return the import paths, such as "torch.nn.functional", that a name or attribute may refer to."""
        attributes = []
        while (step := attribute(node)) is not None:
            node = step[0]
            attributes.append(step[1])
        if not isinstance(node, ast.Name):
            return set()
        home = scope.home(node.id)
        roots = {f"{star}.{node.id}" for star in self._stars} if home is None else home.names[node.id]
        tail = attributes[: -_LONGEST_PATH - 1 : -1]
        return {".".join([root, *tail]) for root in roots}

    def means_builtin(self, node: ast.Name, scope: Scope) -> bool:
        """Return whether a name still refers to the builtin where it is read."""
        home = scope.home(node.id)
        if home is self.module:
            late = node.id in UNTAKEN and self._first.get(node.id, node.lineno) >= node.lineno
            return late or node.id in self._deleted
        return home is None or (home.is_class and node.id in UNTAKEN)


def _parts(node: ast.AST, scope: Scope) -> list[tuple[ast.AST, Scope]]:
    """Return the child nodes in order, each with the scope in which it is evaluated."""
    parts = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        inside = Scope(scope, is_class=isinstance(node, ast.ClassDef))
        own = {id(part) for part in (node.body if isinstance(node.body, list) else [node.body])}
        return [(part, inside if id(part) in own or isinstance(part, ast.arguments) else scope) for part in parts]
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        inside = Scope(scope, apart=node.generators[0].iter)
        return [(node.generators[0].iter, scope), *((part, inside) for part in parts)]
    if isinstance(node, ast.arguments | ast.arg) and scope.above is not None:  # defaults and annotations
        return [(part, scope if isinstance(part, ast.arg) else scope.above) for part in parts]
    if isinstance(node, ast.NamedExpr):
        return [(node.target, scope.owner()), (node.value, scope)]
    return [(part, scope) for part in parts if part is not scope.apart]


def _aliases(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a node binds to an expression: by =, := or a loop over a literal list."""
    pairs: list[tuple[ast.expr, ast.expr | None]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple | ast.List):
        pairs = [(node.target, value) for value in node.iter.elts]
    for target, value in pairs:
        if isinstance(target, ast.Name) and value is not None:
            yield target.id, value
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for part, its in zip(target.elts, value.elts, strict=False):
                if isinstance(part, ast.Name):
                    yield part.id, its


def attribute(node: ast.AST) -> tuple[ast.AST, str] | None:
    """Return object and name of an attribute, `x.name` or `getattr(x, "name")`. None for another node."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        name = text(node.args[1]) if len(node.args) > 1 else None
        if name is not None:
            return node.args[0], name
    return None


def _is_path(node: ast.AST) -> bool:
    """Return whether an expression is a name with fewer attributes than `_LONGEST_PATH`."""
    for _ in range(_LONGEST_PATH):
        step = attribute(node)
        if step is None:
            return isinstance(node, ast.Name)
        node = step[0]
    return False


def text(node: ast.AST) -> str | None:
    """Return the value of a string literal. None for any other node."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
