"""What a process holds after its start, and that jobs can be found by their names."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from models.catalog import FAMILIES

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "onnxscript", "sklearn", "pandas")
WEB = "from adapters.web import create_app; create_app()"
SERVING = "from models.catalog import FAMILIES, predictor_loader; [predictor_loader(f.name) for f in FAMILIES]"
WORKER = "import backend.worker, backend.jobs, adapters.label_studio.jobs"
COMMAND_LINE = "import adapters.cli.main, adapters.cli.machine_checks, adapters.cli.label_studio_checks"


@pytest.mark.parametrize("start", [WEB, SERVING, WORKER, COMMAND_LINE], ids=["web", "serving", "worker", "cli"])
def test_a_process_starts_without_torch(tmp_path: Path, start: str) -> None:
    """The web server stays small, and a trainer that forks must never have touched CUDA."""
    code = f"{start}\nimport sys; print(sorted({HEAVY!r} & sys.modules.keys()))".replace(repr(HEAVY), repr(set(HEAVY)))

    said = subprocess.run(
        (sys.executable, "-c", code),
        env={"PATH": "", "TANDEM_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    assert said.stdout.splitlines()[-1] == "[]"


def test_the_names_of_jobs_lead_to_functions() -> None:
    """A job is named by a dotted path, which no import and no type checker sees."""
    paths = [*(ROOT / "backend").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")]
    names = {name for path in paths for name in _job_names(path)}

    assert {"backend.jobs.train", "adapters.label_studio.jobs.collect"} <= names
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name


def _job_names(path: Path) -> set[str]:
    """Return the texts in a module that name a function in some `jobs` module; the kind of origin is Label Studio."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(v.value) if isinstance(v, ast.Constant) else "label_studio" for v in node.values)
        parts = text.split(".")
        if parts[0] in ("backend", "adapters") and parts[-2:-1] == ["jobs"] and all(map(str.isidentifier, parts)):
            found.add(text)
    return found


def test_every_family_has_both_halves() -> None:
    for family in FAMILIES:
        folder = ROOT / "models" / "families" / family.name
        assert (folder / "predict.py").is_file()
        assert (folder / "fit.py").is_file() is bool(family.objectives)
