"""Every command in README.md and docs/ exists and takes the options it is shown with; every page is in the site's index."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from evo.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if p.name != "reference.md")]
PROMPT = re.compile(r"^\$ (?P<command>.+)$", re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
ALLOWED = {"make", "git", "export", "cd", "caffeinate"}


def commands(page):
    blocks = CONSOLE.findall(page.read_text(encoding="utf-8"))
    return [shlex.split(command) for block in blocks for command in PROMPT.findall(block)]


EVO = [
    pytest.param(words[words.index(name) + 1 :], id=f"{page.name}: {' '.join(words)}")
    for page in PAGES
    for words in commands(page)
    for name in ("evo", ".venv/bin/evo")
    if name in words and words != ["evo", "--version"]
]


@pytest.mark.parametrize("arguments", EVO)
def test_a_documented_command_is_one_that_the_program_takes(arguments):
    command = typer.main.get_command(app)
    path = "evo"
    while (subcommands := getattr(command, "commands", None)) and arguments and arguments[0] in subcommands:
        path, command, arguments = f"{path} {arguments[0]}", subcommands[arguments[0]], arguments[1:]
    if arguments == ["--help"]:
        return
    command.make_context(path, list(arguments))  # raises for an unknown option, a missing or an extra argument


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_no_command_of_another_program_unless_it_is_known(page):
    for words in commands(page):
        assert "evo" in words or ".venv/bin/evo" in words or words[0] in ALLOWED, words


def test_every_page_is_in_the_navigation():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for inner in (entry.values() if isinstance(entry, dict) else entry) for file in files(inner)]

    listed = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(listed) == sorted(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))


def test_the_readme_is_read_in_a_minute_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
