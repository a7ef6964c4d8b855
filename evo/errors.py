"""The one exception that users see."""


class EvoError(Exception):
    """Refusal or failure that is printed in one or two lines, without a traceback unless `--debug` is given.

    Args:
        message: What was expected and what was found.
        hint: What to do next, printed on its own line.
        kind: One of `KINDS`: the `kind` of the `--json` envelope.
    """

    KINDS = (
        "usage",
        "config",
        "persona",
        "evaluator",
        "data",
        "endpoint",
        "isolation",
        "run",
        "lineage",
        "device",
        "disk",
    )
    """The closed list of kinds."""

    def __init__(self, message: str, *, hint: str = "", kind: str = "run") -> None:
        if kind not in self.KINDS:
            raise ValueError(f"expected a kind of {self.KINDS}, found {kind!r}")
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind

    @property
    def exit_code(self) -> int:
        """Exit status: 2 for bad arguments or a bad configuration, else 1."""
        return 2 if self.kind in ("usage", "config") else 1
