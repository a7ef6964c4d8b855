"""Where personas, evaluators, configs and runs are found: the workspace folder, and the built-in one of the wheel.

A name is looked up in the current workspace first, then among the built-in ones. It reads and copies files; it never
interprets them.
"""

import shutil
from pathlib import Path

from evo.errors import EvoError

FOLDERS = ("seeds", "evaluators", "configs")
"""What a workspace holds beside `population/`."""

_PACKAGE = Path(__file__).resolve().parent


def builtin() -> Path:
    """The folder of built-in seeds, evaluators and configs: in the wheel, else the checkout beside the package."""
    packaged = _PACKAGE / "_workspace"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def population() -> Path:
    """`population/` of the current workspace; it need not exist."""
    return Path.cwd() / "population"


def locate(kind: str, name: str, suffix: str = "") -> Path:
    """The file or folder that `name` means: a path, else `<kind>/<name><suffix>` here, else the built-in one.

    Raises:
        EvoError: nothing of that name, with the names there are.
    """
    given = [Path(name)] if "/" in name or not suffix or name.endswith(suffix) else []
    tried = [*given, Path.cwd() / kind / f"{name}{suffix}", builtin() / kind / f"{name}{suffix}"]
    for path in tried:
        if path.is_file() if suffix else path.is_dir():
            return path.resolve()
    known = sorted({p.name.removesuffix(suffix) for p in [*_children(Path.cwd() / kind), *_children(builtin() / kind)]})
    raise EvoError(
        f"nothing in {kind}/ is called {name!r}",
        hint=f"there are: {', '.join(known) or 'none'}; or give a path",
        kind="config" if kind == "configs" else "evaluator" if kind == "evaluators" else "persona",
    )


def seeds_folder() -> Path:
    """`seeds/` of the workspace where it holds a text, else the built-in one."""
    own = Path.cwd() / "seeds"
    return own if any(own.glob("*.txt")) else builtin() / "seeds"


def create(target: Path) -> list[Path]:
    """Make `target` a workspace with its four folders; existing files stay as they are. Returns what was written."""
    try:
        return _copy_builtin(target)
    except OSError as error:
        raise EvoError(
            f"expected a folder that can be written, found {target}: {error.strerror}",
            hint="give another DIR",
            kind="usage",
        ) from None


def _copy_builtin(target: Path) -> list[Path]:
    written = []
    for folder in FOLDERS:
        source = builtin() / folder
        for path in sorted(p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            copy = target / folder / path.relative_to(source)
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                written.append(copy)
    (target / "population").mkdir(parents=True, exist_ok=True)
    return written


def _children(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if not p.name.startswith((".", "_"))] if folder.is_dir() else []
