from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import onnx
import pytest
import torch
from builders import build_checkpoint

from models.catalog import FAMILIES
from models.checkpoint import ONNX, read_manifest
from models.handover import can_explain, explain, onnx_with, write_weights
from models.labels import Label, LabelSchema, Medium, Objective
from models.runtime import Session

SCHEMA = LabelSchema(Objective.CLASSIFICATION, (Label("red"), Label("grün")))
FACTS = {"labels": ["red", "grün"], "taskType": "classification", "inputSize": [8, 8], "numbers": {"a": 1.5}}


def test_an_onnx_file_with_metadata_is_one_that_everybody_reads(tmp_path: Path) -> None:
    content = (build_checkpoint(tmp_path, SCHEMA) / ONNX).read_bytes()

    path = tmp_path / "with.onnx"
    path.write_bytes(onnx_with(onnx_with(content, {"first": "x" * 300}), FACTS))

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    told = {"first": "x" * 300, "labels": '["red", "gr\\u00fcn"]', "taskType": "classification"}
    assert {entry.key: entry.value for entry in model.metadata_props}.items() >= told.items()
    assert Session(path, device="cpu").metadata["inputSize"] == "[8, 8]"


def test_weights_keep_their_values_beside_the_facts(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    shared = {**network.state_dict(), "again": network[0].weight.detach(), "half": torch.ones(2, dtype=torch.float16)}
    torch.save(shared, tmp_path / "weights.pth")

    write_weights(tmp_path / "weights.pth", tmp_path / "out.pth", FACTS)

    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert {name: value for name, value in loaded.items() if name != "state_dict"} == FACTS
    assert loaded["state_dict"].keys() == shared.keys()
    assert all(torch.equal(loaded["state_dict"][name], value) for name, value in shared.items())
    assert loaded["state_dict"]["again"].data_ptr() == loaded["state_dict"]["0.weight"].data_ptr()


def test_weights_are_written_the_same_each_time(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "weights.pth")

    for name in ("a.pth", "b.pth"):
        write_weights(tmp_path / "weights.pth", tmp_path / name, FACTS)

    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert all(info.date_time[0] == 1980 for info in ZipFile(tmp_path / "a.pth").infolist())


def test_what_torch_did_not_save_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no zip")

    with pytest.raises(ValueError, match=r"weights\.pth"):
        write_weights(tmp_path / "weights.pth", tmp_path / "out.pth", FACTS)


@pytest.mark.parametrize("family", [each.name for each in FAMILIES if each.medium is Medium.IMAGE and each.objectives])
def test_every_family_that_learns_from_images_is_explained(family: str) -> None:
    assert can_explain(family) or family == "click_segmentation"  # which nobody but us asks anything


def test_networks_that_see_images_are_explained(tmp_path: Path) -> None:
    told = explain(read_manifest(build_checkpoint(tmp_path, SCHEMA, side_px=16)))

    assert told["inputSize"] == [16, 16]
    assert told["normalization"]["mean"] == [0.0, 0.0, 0.0]
    assert not can_explain("text_classification")
