import numpy as np
import pytest
import torch

from models.learning import vision


def test_torchvision_and_its_detection_operators_can_be_used() -> None:
    torchvision = vision.load_torchvision()

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
    pooled = torchvision.ops.roi_align(torch.ones(1, 2, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], (2, 2))

    assert kept.tolist() == [1, 2]
    assert torch.allclose(pooled, torch.ones(1, 2, 2, 2))


def test_nms_keeps_the_best_of_each_crowd() -> None:
    rng = np.random.default_rng(0)
    corners = rng.random((60, 2)) * 50
    boxes = torch.tensor(np.hstack((corners, corners + 5 + rng.random((60, 2)) * 20)), dtype=torch.float32)
    scores = torch.tensor(rng.random(60), dtype=torch.float32)

    kept = vision.nms(boxes, scores, 0.3).tolist()

    def iou(a: torch.Tensor, b: torch.Tensor) -> float:
        size = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0)
        both = float(size.prod())
        return both / (float((a[2:] - a[:2]).prod()) + float((b[2:] - b[:2]).prod()) - both)

    assert all(iou(boxes[a], boxes[b]) <= 0.3 for a in kept for b in kept if a != b)
    for dropped in set(range(60)) - set(kept):
        assert any(iou(boxes[dropped], boxes[k]) > 0.3 and scores[k] >= scores[dropped] for k in kept)


@pytest.mark.parametrize("num_boxes", [0, 1])
def test_nms_of_hardly_any_boxes(num_boxes: int) -> None:
    assert len(vision.nms(torch.rand(num_boxes, 4), torch.rand(num_boxes), 0.5)) == num_boxes


def test_roi_align_of_a_ramp_is_the_mean_of_each_cell_and_has_a_gradient() -> None:
    ramp = torch.arange(8.0).repeat(8, 1)[None, None].requires_grad_()

    pooled = vision.roi_align(ramp, torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), 1.0, 2, 2, 2, True)
    pooled.sum().backward()

    assert torch.allclose(pooled, torch.tensor([[0.5, 2.5], [0.5, 2.5]]))
    assert ramp.grad is not None
    assert float(ramp.grad.sum()) == pytest.approx(4.0)


def test_roi_align_of_no_regions_is_empty() -> None:
    assert vision.roi_align(torch.ones(1, 3, 4, 4), torch.zeros(0, 5), 1.0, 2, 2, 2, True).shape == (0, 3, 2, 2)
