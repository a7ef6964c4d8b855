"""Progress of a run on stderr: a live status line on a terminal, one plain line per candidate in a pipe."""

import time
from collections.abc import Mapping
from typing import Any, Self

from rich.live import Live
from rich.text import Text

from evo.cli import output
from evo.config import Config
from evo.selection import BASELINE


class Screen:
    """Context manager that prints the progress that the driver reports.

    Args:
        config: Configuration of the run.
        candidates: Number of candidate rows of the finished run, the baseline included.
    """

    def __init__(self, config: Config, candidates: int) -> None:
        self._config, self._candidates = config, candidates
        self._began, self._seen_at_start, self._done = time.monotonic(), 0, 0
        self._best: Mapping[str, Any] | None = None
        self._failed, self._generation = 0, 0
        self._asking = self._training = self._slots = 0
        self._fresh, self._stage, self._left_in_stage = False, "", 0
        self._live = (
            Live(console=output.progress, refresh_per_second=4, transient=True) if output.progress.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
            self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin(self) -> None:
        """Mark the end of the replayed rows: rows from now on are new."""
        self._fresh, self._began, self._seen_at_start = True, time.monotonic(), self._done

    def row(self, row: Mapping[str, Any]) -> None:
        """Report that the row of a candidate is durable."""
        self._done += 1
        self._generation = max(self._generation, row["generation"])
        self._failed += row["status"] not in ("ok", "duplicate", "stopped_early")
        affordable = (row["relative_cost"] or 1.0) <= self._config.selection.max_cost
        better = self._best is None or (row["val_loss"] or 1e9) < self._best["val_loss"]
        if row["status"] == "ok" and affordable and better:
            self._best = row
        self._draw()  # before the row is printed, so that the status line never lags it
        if self._fresh:
            self._print(row)

    def tick(self, asking: int, training: int, slots: int) -> None:
        """Report the numbers of open requests, running trainings and slots."""
        if not self._fresh:
            self.begin()
        self._asking, self._training, self._slots = asking, training, slots
        self._draw()

    def note(self, said: str) -> None:
        """Print one line."""
        output.note(said)

    def stage(self, said: str, trainings: int) -> None:
        """Report that the search is done, and the purpose and number of the trainings that follow."""
        self._stage, self._left_in_stage = said, trainings
        output.note(said)
        self._draw()

    def training(self, row: Mapping[str, Any]) -> None:
        """Report that one training of the stage is durable."""
        self._left_in_stage -= 1
        which = "test loss" if row["test_loss"] is not None else "loss"
        loss = row["val_loss"] if row["test_loss"] is None else row["test_loss"]
        said = row["status"] if loss is None else f"{which} {loss:.4f}"
        output.note(f"  #{row['id']:<4} replicate {row['replicate']:<5} {said}")
        self._draw()

    def _print(self, row: Mapping[str, Any]) -> None:
        what = "baseline" if row["id"] == BASELINE else row["mind"]
        line = f"gen {row['generation']:>2}  #{row['id']:<4} {row['status']:<13}"
        if row["val_loss"] is not None:
            line += f" loss {row['val_loss']:.4f}"
            line += f"  cost {row['relative_cost']:.2f}" if row["relative_cost"] is not None else ""
        said = row["reason"] or row["summary"] or ""
        line += f"  {what}" + (f": {said}" if said else "")
        if row is self._best:
            line += "  *"
        if self._live:
            output.progress.print(output.clean(line), markup=False, highlight=False, overflow="ellipsis", no_wrap=True)
        else:
            output.note(output.clean(line))

    def _draw(self) -> None:
        if not self._live:
            return
        if self._stage:
            self._live.update(
                Text(f"{self._stage}; {self._left_in_stage} trainings left", style="bold", overflow="ellipsis")
            )
            return
        best = f"best {self._best['val_loss']:.4f} (#{self._best['id']})" if self._best else "no score yet"
        self._live.update(
            Text(
                f"generation {self._generation}/{self._config.generations}  {self._done}/{self._candidates} candidates  {best}  "
                f"workers {self._training}/{self._slots} busy  {self._asking} asked  {self._failed} failed  {self._left()}",
                overflow="ellipsis",
                no_wrap=True,
                style="bold",
            )
        )

    def _left(self) -> str:
        fresh = self._done - self._seen_at_start
        if fresh < 2:
            return ""
        seconds = (time.monotonic() - self._began) / fresh * (self._candidates - self._done)
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"
