from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from builders import build_checkpoint

from backend.errors import Conflict
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.downloads import Format
from backend.versions.registry import ModelVersion


@pytest.fixture
def version(services: Services, mirror: Mirror, tmp_path: Path) -> ModelVersion:
    label_set = mirror.label_sets[0]
    folder = build_checkpoint(tmp_path / "checkpoint", label_set.schema)
    torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "weights.pth")
    return services.versions.register(label_set.id, services.versions.keep(folder), run_id="01r", snapshot="0" * 64)


def get(services: Services, version: ModelVersion, form: Format) -> tuple[Path, str]:
    found = services.downloads.get(version, form, task_type="classification")
    return found.path, found.sha256


def test_a_file_is_written_once(services: Services, version: ModelVersion) -> None:
    path, digest = get(services, version, Format.ONNX)
    written_at = path.stat().st_mtime_ns

    again = get(services, version, Format.ONNX)

    assert again == (path, digest)
    assert path.stat().st_mtime_ns == written_at
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_a_file_that_was_discarded_is_written_the_same_again(services: Services, version: ModelVersion) -> None:
    before = {form: get(services, version, form) for form in Format}
    services.downloads.discard(version)

    after = {form: get(services, version, form) for form in Format}

    assert before == after


def test_weights_say_what_they_are_of(services: Services, version: ModelVersion) -> None:
    path, _ = get(services, version, Format.PTH)

    told = torch.load(path, weights_only=True)

    assert told["architecture"] == "image_classification/auto"
    assert (told["labels"], told["inputSize"]) == (["cat", "dog"], [8, 8])
    assert (told["taskType"], told["modelVersion"]) == ("classification", version.name)


@pytest.mark.parametrize(
    ("change", "available"),
    [
        (lambda version: setattr(version, "family", "sequence_labels"), []),
        (lambda version: setattr(version, "files", {"manifest.json": "0", "model.onnx": "1"}), ["onnx"]),
    ],
    ids=["a family that sees no images", "no weights"],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    services: Services,
    version: ModelVersion,
    change: Callable[[ModelVersion], None],
    available: Sequence[str],
) -> None:
    change(version)

    with pytest.raises(Conflict) as caught:
        get(services, version, Format.PTH)

    assert (caught.value.code, caught.value.details) == ("format_unavailable", {"available": available})
