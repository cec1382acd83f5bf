"""Who may import whom, checked as CI checks it; and that our short package names stay ours."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("adapters", "backend", "models")


def test_the_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")

    said = subprocess.run((lint,), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert said.returncode == 0, said.stdout


def test_no_installed_package_has_a_name_of_ours() -> None:
    owners = importlib.metadata.packages_distributions()

    for name in PACKAGES:
        assert set(owners.get(name, [])) <= {"tandem-ml"}, f"{owners[name]} would hide our {name}"


def test_no_installed_file_has_a_name_of_ours() -> None:
    site = Path(importlib.metadata.distribution("click").locate_file("."))

    assert [path for name in PACKAGES for path in site.glob(f"{name}*") if path.suffix in ("", ".py")] == []


def test_tests_are_no_package() -> None:
    """`tests/models` with an __init__.py would hide `models`."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
