import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIVEN = ROOT.parent / "shared" / "seeds"


def evo(folder, *args, code=0):
    done = subprocess.run([sys.executable, "-m", "evo", *args], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def damaged(folder):
    """Newton's seed as people got it: one word read as MacRoman."""
    text = (ROOT / "seeds" / "isaac_newton.txt").read_text(encoding="utf-8")
    path = folder / "given.txt"
    path.write_text(text.replace("Philosophiæ", "Philosophiæ".encode().decode("mac_roman")), encoding="utf-8")
    return path


def test_a_new_workspace_has_the_four_folders_and_keeps_what_is_there(tmp_path):
    evo(tmp_path, "init", "here")
    made = tmp_path / "here"
    assert {path.name for path in made.iterdir()} == {"seeds", "evaluators", "configs", "population"}
    (made / "seeds" / "isaac_newton.txt").write_text("mine")
    evo(tmp_path, "init", "here")
    assert (made / "seeds" / "isaac_newton.txt").read_text() == "mine"


def test_the_seeds_are_listed_with_their_genes(tmp_path):
    listed = json.loads(evo(tmp_path, "personas", "--json").stdout)
    assert [row["name"] for row in listed] == [
        "Galileo Galilei",
        "Isaac Newton",
        "John von Neumann",
        "Leonhard Euler",
        "Richard Feynman",
    ]
    assert {(row["breakthroughs"], row["topics"], row["directions"], row["fields"]) for row in listed} == {
        (5, 10, 13, 33)
    }


def test_an_imported_seed_is_mended_and_says_so(tmp_path):
    done = evo(tmp_path, "personas", "import", str(damaged(tmp_path)))
    assert "repaired 'Philosophi√¶' to 'Philosophiæ'" in done.stdout
    made = tmp_path / "seeds" / "isaac_newton.txt"
    assert made.read_bytes() == (ROOT / "seeds" / "isaac_newton.txt").read_bytes()
    assert json.loads(evo(tmp_path, "personas", "--json").stdout)[0]["name"] == "Isaac Newton"


def test_a_text_of_another_kind_is_checked_and_its_odd_lines_are_named(tmp_path):
    path = tmp_path / "kernel.txt"
    path.write_text(
        "You are a kernel engineer who counts bytes.\n\nMake it fast. You measure first.\n\n"
        "**Breakthrough Connections:**\n1. **Fusing:** one pass.\n* **Loose:** a star\n2. **Tiling:** in cache.\n\n"
        "**House rules:**\n- be brief\n"
    )
    (told,) = json.loads(evo(tmp_path, "personas", "check", str(path), "--json").stdout)
    assert told["name"] == "kernel engineer"
    assert told["stance"] == "You measure first."
    assert [note["line"] for note in told["notes"]] == [7]
    assert "line 7: found" in evo(tmp_path, "personas", "check", str(path)).stdout


def test_a_text_that_is_no_persona_is_refused_with_its_line(tmp_path):
    (tmp_path / "no.txt").write_text("# only a title\n")
    done = evo(tmp_path, "personas", "check", "no.txt", code=1)
    assert "line" in done.stderr
    assert "expected" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_seed_that_is_not_there_is_refused(tmp_path):
    assert "cannot read the persona file" in evo(tmp_path, "personas", "check", "nowhere.txt", code=1).stderr
