"""The package itself: what the wheel carries, what the reference says, which module may import which."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKSPACE = ("seeds", "evaluators", "configs")


def tracked(*folders):
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line for line in listed.splitlines() if (ROOT / line).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_carries_the_tracked_workspace_and_nothing_else_of_it(wheel):
    inside = {name.removeprefix("evo/_workspace/") for name in wheel.namelist() if name.startswith("evo/_workspace/")}
    assert inside == tracked(*WORKSPACE)


def test_only_evo_is_importable_from_the_wheel(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"evo"}


def test_the_reference_is_what_the_program_says():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    assert generate.REFERENCE.read_text(encoding="utf-8") == generate.reference(), "run: python docs/generate.py"


def imports(module):
    """Names of evo's modules that a module imports at its top level, type checking aside."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("evo/search.py", {"evo.driver", "evo.lineage", "evo.trainer", "evo.proposer", "evo.cli", "evo.catalogue"}),
        ("evo/variation.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer"}),
        ("evo/selection.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer"}),
        ("evo/finalists.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer", "evo.verify", "evo.cli"}),
        ("evo/report.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer", "evo.cli"}),
        ("evo/verify/statistics.py", {"evo.driver", "evo.lineage", "evo.finalists", "evo.config", "scipy", "numpy"}),
        ("evo/driver/verdict.py", {"evo.cli", "evo.trainer", "ray"}),
        ("evo/lineage/store.py", {"evo.search", "evo.driver", "evo.trainer", "evo.proposer"}),
        ("evo/trainer/trainer.py", {"evo.search", "evo.driver", "evo.lineage", "evo.proposer"}),
        ("evo/proposer/client.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer"}),
        ("evo/verify/scorer.py", {"evo.search", "evo.driver", "evo.lineage", "evo.trainer", "torch"}),
    ],
)
def test_dependencies_point_one_way(module, never):
    found = imports(module)
    assert not {name for name in found for wrong in never if name == wrong or name.startswith(wrong + ".")}


@pytest.mark.parametrize("path", sorted((ROOT / "evo" / "sandboxed").glob("*.py")), ids=lambda p: p.name)
def test_what_runs_in_a_sandbox_imports_nothing_of_evo(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not any(name == "evo" or name.startswith("evo.") for name in names)


def test_importing_persona_search_and_lineage_loads_neither_torch_nor_ray_nor_scipy():
    code = (
        "import sys, evo.persona, evo.search, evo.finalists, evo.lineage.store, evo.lineage.query, evo.report\n"
        "print([m for m in ('torch', 'ray', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
