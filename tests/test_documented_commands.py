"""Run the commands of README.md and docs/ as a reader would: each page in a folder of its own, block after block.

A block that needs what a test machine lacks is marked by a comment on the line before it, for example `<!-- needs: key -->`.
A page that reads a run of another page starts with `<!-- continues: PAGE -->`; its commands run after those of that page, in
the same folder. The evaluator is a small one, so that a search takes seconds. Options that a page writes out keep their values.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_small_evaluator

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[a-z ]+) -->\n)?^```console\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"^\$ (?P<command>.+)$", re.MULTILINE)
CONTINUES = re.compile(r"^<!-- continues: (?P<page>\S+) -->$", re.MULTILINE)
NEEDS = {
    "checkout": "a clone of the repository: `make test` and the continuous integration are such a clone",
    "cluster": "a Ray cluster",
    "key": "the key of a hosted model",
    "mac": "a Mac",
    "model": "a model server on the machine, or a file of model weights",
}
SMALL = {
    "EVO_GENERATIONS": "1",
    "EVO_POPULATION": "2",
    "EVO_FINAL__VERDICT_SEEDS": "2",
}


def commands_to_run(page):
    return [
        command
        for block in BLOCK.finditer(PAGES[page])
        if block["needs"] is None
        for command in COMMAND.findall(block["body"])
    ]


def continued_page(page):
    """Return the page whose commands come first, or None."""
    found = CONTINUES.search(PAGES[page])
    return found and os.path.normpath(Path(page).parent / found["page"])


def chains():
    """Return the pages that are run together: a page and those that continue it."""
    first = [page for page in PAGES if continued_page(page) is None]
    return [[page, *(other for other in PAGES if continued_page(other) == page)] for page in first]


CHAINS = [chain for chain in chains() if any(map(commands_to_run, chain))]


@pytest.fixture
def reader(tmp_path):
    """Return a folder and an environment in which `evo` searches a small evaluator, and `mine.txt` is a persona."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "evo").write_text(f'#!/bin/sh\nexec {sys.executable} -m evo "$@"\n', encoding="utf-8")
    (programs / "evo").chmod(0o755)
    folder = tmp_path / "reader"
    learns = {
        "max_iters": 240,
        "batch_size": 16,
        "eval_interval": 80,
    }  # enough for "the baseline learns" of `evo check`
    write_small_evaluator(folder / "workspace" / "evaluators" / "tiny_gpt", **learns)
    small = write_small_evaluator(tmp_path / "small")
    source = (ROOT / "seeds" / "isaac_newton.txt").read_text(encoding="utf-8")
    (folder / "mine.txt").write_text(source.replace("Isaac Newton", "Emmy Noether"), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVO_", "OPENAI_"))}
    path = f"{programs}{os.pathsep}{environment['PATH']}"
    return folder, {**environment, **SMALL, "EVO_EVALUATOR": str(small), "PATH": path}


def test_every_mark_is_one_that_the_tests_know():
    marks = re.findall(r"<!-- (needs|continues): (.+?) -->", "\n".join(PAGES.values()))
    assert {value for kind, value in marks if kind == "needs"} <= NEEDS.keys()
    assert len(marks) == sum(1 for page in PAGES for block in BLOCK.finditer(PAGES[page]) if block["needs"]) + sum(
        1 for page in PAGES if continued_page(page)
    )
    assert {continued_page(page) for page in PAGES} - {None} <= PAGES.keys()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0])
def test_a_reader_can_run_the_commands_of_a_page(chain, reader):
    folder, environment = reader
    for page in chain:
        script = "\n".join(commands_to_run(page))
        done = subprocess.run(
            ["bash", "-exc", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{page}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
