"""Where do versions come from without waiting for a training? A real fit, cut short after one epoch."""

from __future__ import annotations

import tempfile
from pathlib import Path

from backend.services import Services
from backend.settings import Settings
from bench.samples import Sample
from bench.server import UID, Installation
from models import catalog
from models.examples import Example, Split
from models.family import FitSettings, Progress
from models.regions import Choice

_FAMILY = "image_classification"


class _Silence:
    def progress(self, progress: Progress) -> None:
        pass

    def log(self, line: str) -> None:
        pass


def add(installation: Installation, samples: list[Sample], *, seed: int = 0) -> str:
    """Fit a version of the installation's only label set, let it answer, and return its name.

    It is registered by the code that trainers use, in the database and folders of the running server.
    """
    settings = Settings(home=installation.server.home)
    services = Services.build(settings)
    try:
        (label_set,) = services.projects.get(UID).label_sets
        with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
            examples = [_example(Path(scratch) / f"{number}", sample) for number, sample in enumerate(samples)]
            catalog.fitter(_FAMILY)(
                examples,
                label_set.schema,
                FitSettings(max_epochs=1, seed=seed),
                device="cpu",
                report=_Silence(),
                folder=Path(scratch),
                weights=None,
            )
            files = services.versions.keep(Path(scratch))
        version = services.versions.register(label_set.id, files, run_id=f"bench-{seed}", snapshot="0" * 64)
        services.versions.promote(version, reason="bench")
        return version.name
    finally:
        services.close()


def _example(path: Path, sample: Sample) -> Example:
    path.write_bytes(sample.content)
    return Example(path.name, path, (Choice(sample.label),), Split.TRAIN)
