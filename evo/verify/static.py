"""Static checks of a candidate's files: syntax, contract, protected settings. Files are parsed, never imported or run.

Both files are refused if they bypass a setting: by indirect access to names (exec, globals(), sys.modules, frames, ...), by
replacing attributes of harness, time, torch, numpy or random, or by seeding a generator.

Syntax does not show:

- an attribute whose name is computed (`getattr(torch, "manual" + "_seed")`)
- a module passed through a container, an attribute or a call (`patch(harness)`)
- a builtin used before the file binds its name
- text that a library runs (timeit, pickle, annotations)
- a loop that ignores its setting

The run-time check covers these: our own process counts the batches drawn.
"""

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from evo.status import Status
from evo.verify import settings
from evo.verify.settings import Setting

Found = tuple[int, str]
"""Line and reason of a refusal."""

BUILTINS = settings.UNTAKEN | {"eval", "vars", "compile"}
HIDDEN = frozenset(
    {
        *("__dict__", "__globals__", "__builtins__", "__loader__", "__spec__", "__import__", "__subclasses__"),
        *("f_globals", "f_locals", "f_builtins", "f_back", "tb_frame", "gi_frame", "cr_frame", "ag_frame"),
    }
)
"""Attributes that give access from an object to the names of a module."""
REACHING = (
    *("builtins", "__main__", "ctypes", "_ctypes", "cffi", "runpy", "imp", "code", "codeop", "unittest.mock", "mock"),
    *("launcher", "train_job", "serve_job"),
    *("sys.modules", "sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers", "gc.get_referents"),
    *("inspect.currentframe", "inspect.stack", "inspect.trace", "inspect.getmodule", "inspect.getouterframes"),
    *("inspect.getinnerframes", "inspect.getclosurevars", "pkgutil.resolve_name"),
)
"""Import paths that, with everything below them, give access to the names of a module."""
HARMLESS = ("importlib.util.find_spec", "importlib.metadata", "importlib.resources")
"""The parts of importlib that a file may use."""
KEPT = frozenset({"harness", "time", "torch", "numpy", "random"})
"""Modules whose attributes must not be replaced. Attributes of a `config` and of `backends` may be set."""
SEEDS = frozenset({"manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state", "set_rng_state_all"})
"""Functions and methods of any object that seed a generator."""
LIBRARY_SEEDS = SEEDS | {"seed_everything", "set_seed", "setstate", "set_state"}
"""Functions of an imported module that seed a generator."""
SEEDED = frozenset(
    {"Random", "RandomState", "default_rng", "SeedSequence", "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"}
)
"""Generator classes of imported modules. A call with an argument seeds one."""

_SETTERS = {"setattr": 3, "delattr": 2, "__setattr__": 3, "__delattr__": 2}
"""Functions that change an attribute by name, with the number of their arguments if the object is the first."""


@dataclass(frozen=True)
class Failure:
    """A named failure with its one-line reason."""

    status: Status
    reason: str


def parse(source: str) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: The file cannot be parsed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a candidate may write "\d" in a string
        try:
            return ast.parse(source)
        except SystemError:  # CPython 3.11: a finaliser parsed code during this call
            return ast.parse(source)


class Spec(Protocol):
    """Specification of an evaluator, as far as these checks read it."""

    @property
    def files(self) -> tuple[str, str]:
        """Names of the files, the train file first."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Protected settings of the train file."""


class Judging(Protocol):
    """An evaluator, as far as these checks read it."""

    @property
    def spec(self) -> Spec:
        """The specification of the evaluator."""


def check(files: dict[str, str], evaluator: Judging) -> Failure | None:
    """Return the first failure of `files`, or None.

    Checked in this order: syntax, a missing `train()` or `GPT`, a changed protected setting.
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
    reason = _change(trees, evaluator.spec.settings)
    return Failure(Status.PROTECTED_SETTING, reason) if reason else None


def _top_level_names(tree: ast.Module) -> set[str]:
    return {name for node in tree.body for name, _ in settings.bindings(node, deep=False)}


def _change(trees: Mapping[str, ast.Module], protected: Mapping[str, Setting]) -> str | None:
    """Return why the files are refused, in one line of at most 200 characters, or None.

    Args:
        trees: Syntax trees by file name, the train file first.
        protected: Names and values of the protected settings.
    """
    train = next(iter(trees))
    reason = settings.rebound(trees[train], protected, train)
    files = {name.removesuffix(".py"): settings.Names(tree) for name, tree in trees.items()} if reason is None else {}
    for stem, name in zip(files, trees, strict=False):
        rules = _Rules(stem, files, protected, where="" if name == train else f" of {name}")
        first = min(rules.found(), key=lambda found: found[0], default=None)
        if first is not None:
            reason = first[1]
            break
    if reason is not None:
        reason = " ".join(reason.split())
        reason = reason if len(reason) < 200 else reason[:196] + "..."
    return reason


def _below(path: str, *tops: str) -> bool:
    return any(path == top or path.startswith(f"{top}.") for top in tops)


class _Rules:
    """Rules for one file; `found()` yields the violations. `where` ends each reason, for example " of model.py"."""

    def __init__(
        self, stem: str, files: Mapping[str, settings.Names], protected: Mapping[str, Setting], where: str
    ) -> None:
        self._file, self._files, self._settings, self._where = files[stem], files, protected, where
        self._train = next(iter(files))
        self._inner: set[int] = set()
        """Ids of nodes that are part of a longer dotted name."""
        self._callees = {id(node.func) for node, _ in self._file.nodes if isinstance(node, ast.Call)}
        self._asked = {id(part) for node, _ in self._file.nodes for part in _asked(node)}

    def found(self) -> Iterator[Found]:
        for node, scope in self._file.nodes:
            read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._imported(node)
            elif isinstance(node, ast.Attribute | ast.Subscript) and not read:
                yield from self._stored(node, scope)
            elif isinstance(node, ast.Call):
                yield from self._called(node, scope)
            elif isinstance(node, ast.Name) and read:
                yield from self._builtin(node, scope)
            if isinstance(node, ast.Attribute):
                yield from self._attribute(node, scope, read)
            if settings.attribute(node) is not None or (isinstance(node, ast.Name) and read):
                yield from self._named(node, scope, read)

    def _imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[Found]:
        for alias in node.names:
            path = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
            if _below(path, *REACHING) or path == self._train:
                yield self._open(node, f"import of {path}")

    def _builtin(self, node: ast.Name, scope: settings.Scope) -> Iterator[Found]:
        plain = node.id in _SETTERS and id(node) in self._callees
        if node.id in BUILTINS and not plain and self._file.means_builtin(node, scope):
            yield self._open(node, f"{node.id}()")
        elif node.id in HIDDEN:
            yield self._open(node, node.id)

    def _attribute(self, node: ast.Attribute, scope: settings.Scope, read: bool) -> Iterator[Found]:
        its_own = node.attr == "__dict__" and isinstance(node.value, ast.Name) and node.value.id == "self"
        if its_own and _is_argument("self", scope):
            return
        if node.attr in HIDDEN or (node.attr in _SETTERS and id(node) not in self._callees):
            yield self._open(node, settings.source(node))
        if read and node.attr in SEEDS - {"seed"}:
            yield self._seed(node)

    def _named(self, node: ast.AST, scope: settings.Scope, read: bool) -> Iterator[Found]:
        """Check a name with all its attributes that may refer to an import."""
        if id(node) in self._inner:
            return
        step = settings.attribute(node)
        while step is not None:
            self._inner.add(id(step[0]))
            step = settings.attribute(step[0])
        for path in self._paths(node, scope):
            top, _, rest = path.partition(".")
            private = top == "harness" and rest.startswith("_") and not rest.startswith("__")
            loads = top == "importlib" and not _below(path, *HARMLESS)
            if path == "sys.modules" and id(node) in self._asked:
                continue
            if private or loads or _below(path, *REACHING):
                yield self._open(node, path)
            elif read and rest.rpartition(".")[2] in LIBRARY_SEEDS and not self._own(path):
                yield self._seed(node)

    def _called(self, node: ast.Call, scope: settings.Scope) -> Iterator[Found]:
        step = settings.attribute(node.func)
        names = {path.rpartition(".")[2] for path in self._paths(node.func, scope) if not self._own(path)}
        given = bool(node.args or node.keywords)
        if (step is not None and step[1] in SEEDS) or names & LIBRARY_SEEDS or (given and names & SEEDED):
            yield self._seed(node)
        if any(HIDDEN & set((settings.text(argument) or "").split(".")) for argument in node.args):
            yield self._open(node, settings.source(node))
        if isinstance(node.func, ast.Name):
            setter = node.func.id if self._file.means_builtin(node.func, scope) else ""
        else:
            setter = step[1] if step else ""
        if setter in _SETTERS:
            base = step[:1] if step and len(node.args) < _SETTERS[setter] else ()
            yield from self._set_by_name(node, [*base, *node.args], scope)

    def _set_by_name(self, node: ast.Call, arguments: list[ast.AST], scope: settings.Scope) -> Iterator[Found]:
        """Check `setattr(object, name, value)` and similar calls."""
        if len(arguments) < 2 or any(isinstance(argument, ast.Starred) for argument in arguments):
            yield self._open(node, settings.source(node))
            return
        base, name = arguments[0], settings.text(arguments[1])
        paths = self._paths(base, scope)
        if name is not None:
            yield from self._changed(node, base, name, paths, by_name=True)
            if name in self._settings and not paths and not _reaches(base) and not _holds_settings(base, scope):
                yield self._setting(node, name)
        elif any(not _to_be_set(path) for path in paths):
            yield self._open(node, settings.source(node))

    def _stored(self, node: ast.Attribute | ast.Subscript, scope: settings.Scope) -> Iterator[Found]:
        paths = self._paths(node.value, scope)
        if isinstance(node, ast.Attribute):
            yield from self._changed(node, node.value, node.attr, paths, by_name=False)
        for path in paths:
            if isinstance(node, ast.Subscript) and _below(path, "harness"):
                yield self._replaced(node, f"{path}[...]")

    def _changed(self, node: ast.expr, base: ast.AST, name: str, paths: list[str], *, by_name: bool) -> Iterator[Found]:
        """Check an attribute that is set or deleted. `by_name` (setattr) refuses the attributes of every import."""
        if name in self._settings and not paths and _reaches(base):
            yield self._setting(node, name)
        for path in paths:
            own = self._own(path)
            if name in self._settings and not (own and "." in path):
                yield self._setting(node, name)
            elif not own and not _to_be_set(path) and (by_name or path.split(".")[0] in KEPT):
                yield self._replaced(node, f"{path}.{name}")

    def _paths(self, node: ast.AST, scope: settings.Scope) -> list[str]:
        """Return the import paths of a name, resolved through the candidate's files: `model.F` is torch.nn.functional."""
        return sorted({self._through(path) for path in self._file.paths(node, scope)})

    def _through(self, path: str) -> str:
        for _ in range(8):
            top, *rest = path.split(".")
            names = self._files[top].module.names.get(rest[0]) if top in self._files and rest else None
            if not names:
                break
            path = ".".join([min(names), *rest[1:]])
        return path

    def _own(self, path: str) -> bool:
        return path.split(".")[0] in self._files

    def _found(self, node: ast.AST, reason: str, end: str = "") -> Found:
        return settings.at(node), f"{reason} on line {settings.at(node)}{self._where}{end}"

    def _open(self, node: ast.AST, way: str) -> Found:
        return self._found(node, f"settings: could be changed through {way}", "; expected plain code")

    def _seed(self, node: ast.AST) -> Found:
        return self._found(node, f"seed: expected the harness's, found {settings.source(node)}")

    def _setting(self, node: ast.AST, name: str) -> Found:
        return self._found(node, f"{name}: expected {self._settings[name]!r}, found {settings.source(node)} changed")

    def _replaced(self, node: ast.AST, path: str) -> Found:
        return self._found(node, f"{path}: expected it as it is, found it replaced")


def _asked(node: ast.AST) -> list[ast.expr]:
    """Return the operands of a membership test, such as `"torch" in sys.modules`."""
    asks = isinstance(node, ast.Compare) and all(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
    return node.comparators if isinstance(node, ast.Compare) and asks else []


def _to_be_set(path: str) -> bool:
    """Return whether attributes of a module may be set, as in torch.backends.cuda.matmul and torch._dynamo.config."""
    top, *rest = path.split(".")
    return top == "torch" and any(part == "backends" or part.endswith("config") for part in rest)


def _reaches(node: ast.AST) -> bool:
    """Return whether an object may be anything, because it comes from a call or a subscript of other than `self`."""
    called = indexed = False
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        called |= isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id == "super")
        indexed |= isinstance(node, ast.Subscript)
        node = node.func if isinstance(node, ast.Call) else node.value
    return called or not isinstance(node, ast.Name) or (indexed and node.id != "self")


def _is_argument(name: str, scope: settings.Scope) -> bool:
    home = scope.home(name)
    return home is not None and name in home.arguments


def _holds_settings(node: ast.AST, scope: settings.Scope) -> bool:
    """Return whether an object is an argument, such as `self`, or is named as a configuration."""
    parts = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        parts.append(node.attr if isinstance(node, ast.Attribute) else "")
        node = node.func if isinstance(node, ast.Call) else node.value
    name = node.id if isinstance(node, ast.Name) else ""
    return (
        name == "super"
        or _is_argument(name, scope)
        or any("config" in part.lower() or "cfg" in part.lower() for part in (name, *parts))
    )
