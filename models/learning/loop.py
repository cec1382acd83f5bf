"""How is a network trained? The one training loop: early stop, best epoch, resume, mixed precision, progress.

Whatever is random depends on (seed, epoch) alone, and the state is stored after every epoch, so a run that was killed
and goes on ends with exactly the weights of a run that was not.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ComputeLoss = Callable[[int, Sequence[int]], Tensor]
"""(epoch, indices of examples) → mean loss of that batch, with its graph; the network is in training mode."""
Validate = Callable[[], Mapping[str, float]]
"""→ metrics, with a `val_loss` among them; the network is in evaluation mode, without gradients."""
Progressed = Callable[[int, Mapping[str, float]], None]
"""(epochs finished, newest metrics); may raise to stop the run."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train.

    Attributes:
        num_epochs: Passes over the examples; the learning rate falls to zero over them along a cosine.
        batch_size: Least number of examples in a step, where there are that many; batches of an epoch differ by at
            most one example, so that none is a single one, which batch normalization could not bear.
        learning_rate: Highest learning rate (AdamW), reached after `warmup` of all steps.
        weight_decay: Of matrices and kernels; biases and norms have none.
        warmup: Share of the steps during which the learning rate rises.
        patience: Stop after so many epochs without a lower `val_loss`; None: never.
        seed: Of the order of the examples and of what is random in the network.
    """

    num_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    warmup: float = 0.1
    patience: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training came to; the network holds the weights of `best_epoch`.

    Attributes:
        best_epoch: Number of epochs after which `val_loss` was lowest; without validation the last one.
        num_epochs: How many are worth training for: all that were planned, or where patience ended, `best_epoch`.
        metrics: Those of the best epoch.
    """

    best_epoch: int
    num_epochs: int
    metrics: Mapping[str, float]


def train(
    network: nn.Module,
    schedule: Schedule,
    *,
    num_examples: int,
    compute_loss: ComputeLoss,
    validate: Validate | None,
    device: str,
    state_path: Path,
    progressed: Progressed,
) -> Outcome:
    """Train a network in place, or go on with a training that was interrupted.

    Args:
        network: On `device`, with its first weights.
        schedule: See `Schedule`.
        num_examples: Indices run from 0 to this.
        compute_loss: See `ComputeLoss`; called in mixed precision on CUDA.
        validate: See `Validate`; None: all epochs are run and the last one is kept.
        device: "cpu" or "cuda".
        state_path: Where the state after each epoch is kept. A state of another schedule is ignored.
        progressed: See `Progressed`.
    """
    batches_per_epoch = max(1, num_examples // schedule.batch_size)
    num_steps = schedule.num_epochs * batches_per_epoch
    optimizer = torch.optim.AdamW(_parameter_groups(network, schedule), lr=schedule.learning_rate)
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")
    state = _State(network, optimizer, scaler, state_path, fingerprint={**asdict(schedule), "examples": num_examples})
    state.restore(device)
    while state.epoch < schedule.num_epochs and not state.is_out_of_patience(schedule.patience):
        epoch = state.epoch
        order = np.random.default_rng((schedule.seed, epoch)).permutation(num_examples)
        torch.manual_seed(int(np.random.SeedSequence((schedule.seed, epoch)).generate_state(1)[0]))
        network.train()
        total = 0.0
        for step, batch in enumerate(np.array_split(order, batches_per_epoch), epoch * batches_per_epoch):
            for group in optimizer.param_groups:
                group["lr"] = schedule.learning_rate * _cosine(step, num_steps, schedule.warmup)
            with torch.autocast(device, enabled=device == "cuda"):
                loss = compute_loss(epoch, [int(index) for index in batch])
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            scaler.step(optimizer)
            scaler.update()
            total += float(loss.detach()) * len(batch)
        metrics = {"loss": total / num_examples}
        if validate is not None:
            network.eval()
            with torch.no_grad():
                metrics |= validate()
        state.finish_epoch(metrics)
        progressed(state.epoch, metrics)
    network.load_state_dict(state.best_weights)
    network.eval()
    num_epochs = schedule.num_epochs if state.epoch == schedule.num_epochs else state.best_epoch
    return Outcome(state.best_epoch, num_epochs, state.best_metrics)


def _parameter_groups(network: nn.Module, schedule: Schedule) -> list[dict[str, Any]]:
    kernels = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": schedule.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _cosine(step: int, num_steps: int, warmup: float) -> float:
    done = (step + 1) / num_steps
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup + 1e-9)))


class _State:
    """What a training must remember between epochs, in memory and on disk."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        path: Path,
        *,
        fingerprint: Mapping[str, Any],
    ) -> None:
        self._network, self._optimizer, self._scaler = network, optimizer, scaler
        self._path = path
        self._fingerprint = dict(fingerprint)
        self.epoch = 0
        self.best_epoch = 0
        self.best_metrics: Mapping[str, float] = {}
        self.best_weights: dict[str, Tensor] = copy.deepcopy(network.state_dict())

    def is_out_of_patience(self, patience: int | None) -> bool:
        return patience is not None and self.epoch - self.best_epoch >= patience

    def finish_epoch(self, metrics: Mapping[str, float]) -> None:
        self.epoch += 1
        best = self.best_metrics.get("val_loss", math.inf)
        if metrics.get("val_loss", -math.inf) < best:  # without validation the newest epoch is the best
            self.best_epoch, self.best_metrics = self.epoch, dict(metrics)
            self.best_weights = copy.deepcopy(self._network.state_dict())
        stored = {
            "fingerprint": self._fingerprint,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_metrics": dict(self.best_metrics),
            "best_weights": self.best_weights,
            "weights": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        partial = self._path.with_suffix(".partial")
        torch.save(stored, partial)
        os.replace(partial, self._path)

    def restore(self, device: str) -> None:
        if not self._path.exists():
            return
        stored = torch.load(self._path, map_location=device, weights_only=True)
        if stored["fingerprint"] != self._fingerprint:
            return
        self.epoch, self.best_epoch = stored["epoch"], stored["best_epoch"]
        self.best_metrics, self.best_weights = stored["best_metrics"], stored["best_weights"]
        self._network.load_state_dict(stored["weights"])
        self._optimizer.load_state_dict(stored["optimizer"])
        self._scaler.load_state_dict(stored["scaler"])
