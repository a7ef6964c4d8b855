"""Lookup of personas, evaluators, configurations and runs in the workspace folder and among the built-in files.

A name is looked up in the current workspace first. This module reads and copies files and never interprets them.
"""

import shutil
from pathlib import Path

from evo.errors import EvoError

FOLDERS = ("seeds", "evaluators", "configs")
"""What a workspace holds beside `population/`."""

_PACKAGE = Path(__file__).resolve().parent


def builtin() -> Path:
    """Return the folder of the built-in files: inside the wheel, else the checkout beside the package."""
    packaged = _PACKAGE / "_workspace"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def population() -> Path:
    """Return the path of `population/` in the current workspace. It may not exist."""
    return Path.cwd() / "population"


def locate(kind: str, name: str, suffix: str = "") -> Path:
    """Return the file or folder that `name` refers to: a path, else `<kind>/<name><suffix>` here, else a built-in one.

    Raises:
        EvoError: Nothing has that name. The hint lists the names that exist.
    """
    given = [Path(name)] if "/" in name or not suffix or name.endswith(suffix) else []
    tried = [*given, Path.cwd() / kind / f"{name}{suffix}", builtin() / kind / f"{name}{suffix}"]
    for path in tried:
        if path.is_file() if suffix else path.is_dir():
            return path.resolve()
    known = sorted({p.name.removesuffix(suffix) for p in [*_children(Path.cwd() / kind), *_children(builtin() / kind)]})
    raise EvoError(
        f"there is no file or folder {name}" if "/" in name else f"{kind}/ holds no {name!r}",
        hint=f"available: {', '.join(known) or 'none'}; or give a path",
        kind="config" if kind == "configs" else "evaluator" if kind == "evaluators" else "persona",
    )


def seeds_folder() -> Path:
    """Return `seeds/` of the workspace if it holds a text, else the built-in folder."""
    own = Path.cwd() / "seeds"
    return own if any(own.glob("*.txt")) else builtin() / "seeds"


def create(target: Path) -> list[Path]:
    """Create a workspace in `target` and return the files written. Existing files are kept.

    Raises:
        EvoError: The folder cannot be written.
    """
    try:
        return _copy_builtin(target)
    except OSError as error:
        raise EvoError(
            f"cannot write to {target}: {error.strerror}",
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
