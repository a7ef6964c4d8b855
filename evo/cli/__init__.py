"""Command line. Results go to stdout, progress and errors to stderr. Exit 0, 1 (failed), 2 (usage) or 130 (interrupted).

Importing this package loads neither torch nor ray.
"""

import json
import os
import sys

from evo.errors import EvoError


def main() -> None:
    """Run the `evo` command."""
    from evo.cli.app import app

    arguments = sys.argv[1:]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--debug" in options:  # accepted anywhere, since a user adds it at the end of a command that failed
        arguments.remove("--debug")
        arguments.insert(0, "--debug")
    try:
        app(arguments, prog_name="evo")
    except EvoError as error:
        _print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("evo: interrupted; continue a run with `evo resume`", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _print_error(error: EvoError) -> None:
    """Print an error in one or two lines on stderr, and with --json as an envelope on stdout."""
    if os.environ.get("EVO_DEBUG"):
        import traceback

        traceback.print_exception(error)
    if "--json" in sys.argv:
        envelope = {"kind": error.kind, "message": error.message, "hint": error.hint}
        print(json.dumps({"error": envelope}, ensure_ascii=False))
    print(f"evo: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"     {error.hint}", file=sys.stderr)
