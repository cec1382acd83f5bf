from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.learning.loop import Outcome, Schedule, train

INPUTS = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS.sum(1, keepdim=True)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


def run(
    module: nn.Module,
    path: Path,
    *,
    num_epochs: int = 6,
    patience: int | None = None,
    stop_after: int | None = None,
    val_losses: Sequence[float] | None = None,
    seen: list[tuple[int, list[int]]] | None = None,
) -> Outcome:
    finished = 0

    def compute_loss(epoch: int, batch: Sequence[int]) -> Tensor:
        if seen is not None:
            seen.append((epoch, list(batch)))
        return nn.functional.mse_loss(module(INPUTS[list(batch)]), TARGETS[list(batch)])

    def progressed(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal finished
        finished = epoch
        if epoch == stop_after:
            raise KeyboardInterrupt

    return train(
        module,
        Schedule(num_epochs, batch_size=5, learning_rate=0.01, patience=patience, seed=3),
        num_examples=24,
        compute_loss=compute_loss,
        validate=None if val_losses is None else lambda: {"val_loss": val_losses[finished]},
        device="cpu",
        state_path=path,
        progressed=progressed,
    )


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    outcome = run(network(), tmp_path / "state.pt", num_epochs=60)

    assert outcome.metrics["loss"] < 2.0 < float(TARGETS.square().mean())


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = network(), network()
    run(whole, tmp_path / "whole.pt")

    with pytest.raises(KeyboardInterrupt):
        run(resumed, tmp_path / "resumed.pt", stop_after=3)
    resumed = network()
    seen: list[tuple[int, list[int]]] = []
    run(resumed, tmp_path / "resumed.pt", seen=seen)

    assert min(epoch for epoch, _ in seen) == 3
    assert equal(whole, resumed)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, again = network(), network()
    outcome = run(first, tmp_path / "state.pt")
    seen: list[tuple[int, list[int]]] = []

    repeated = run(again, tmp_path / "state.pt", seen=seen)

    assert seen == []
    assert repeated == outcome
    assert equal(first, again)


def test_the_state_of_another_schedule_is_ignored(tmp_path: Path) -> None:
    run(network(), tmp_path / "state.pt", num_epochs=2)
    seen: list[tuple[int, list[int]]] = []

    run(network(), tmp_path / "state.pt", num_epochs=3, seen=seen)

    assert {epoch for epoch, _ in seen} == {0, 1, 2}


def test_every_epoch_sees_every_example_once_in_another_order(tmp_path: Path) -> None:
    seen: list[tuple[int, list[int]]] = []

    run(network(), tmp_path / "state.pt", num_epochs=2, seen=seen)

    orders = [[index for epoch, batch in seen if epoch == wanted for index in batch] for wanted in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1]
    assert {len(batch) for _, batch in seen} == {6}


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    best, full = network(), network()
    outcome = run(full, tmp_path / "full.pt", val_losses=[5, 4, 1, 2, 3, 3])
    with pytest.raises(KeyboardInterrupt):
        run(best, tmp_path / "best.pt", stop_after=3)

    assert (outcome.best_epoch, outcome.num_epochs) == (3, 6)
    assert outcome.metrics["val_loss"] == 1
    assert equal(best, full)


def test_training_stops_when_patience_ends(tmp_path: Path) -> None:
    seen: list[tuple[int, list[int]]] = []

    outcome = run(network(), tmp_path / "state.pt", patience=2, val_losses=[5, 4, 6, 6, 0, 0], seen=seen)

    assert (outcome.best_epoch, outcome.num_epochs) == (2, 2)
    assert max(epoch for epoch, _ in seen) == 3


def test_a_diverged_validation_loss_is_never_the_best(tmp_path: Path) -> None:
    outcome = run(network(), tmp_path / "state.pt", num_epochs=3, val_losses=[2.0, float("nan"), float("nan")])

    assert outcome.best_epoch == 1
