from collections import Counter
from pathlib import Path

import pytest
import torch

from models.examples import Example, Split
from models.learning.texts import folds, kept, read


def test_texts_that_cannot_be_read_are_skipped_with_a_line_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "b.txt").write_text("fine", encoding="utf-8")
    lines: list[str] = []

    readable = read(
        [Example(name, tmp_path / f"{name}.txt", (), Split.HELD_OUT) for name in ("c", "b", "a")], log=lines.append
    )

    assert [example.key for example in readable.examples] == ["b"]
    assert readable.contents == ("fine",)
    assert readable.indices(Split.HELD_OUT).tolist() == [0]
    assert [line.split()[0] for line in lines] == ["a", "c"]
    assert "not UTF-8" in lines[0]


@pytest.mark.parametrize("num_folds", [2, 5])
def test_every_fold_has_its_share_of_every_group(num_folds: int) -> None:
    groups = ["a"] * 50 + ["b"] * 20

    fold = folds(groups, num_folds, seed=0)

    for group, size in (("a", 50), ("b", 20)):
        shares = Counter(f for f, g in zip(fold.tolist(), groups, strict=True) if g == group)
        assert set(shares.values()) == {size // num_folds}


def test_few_examples_make_few_folds() -> None:
    assert sorted(folds(["a", "b", "c"], 5, seed=0).tolist()) == [0, 1, 2]


def test_what_was_computed_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, object]:
        calls.append(1)
        return {"weight": torch.ones(2), "threshold": 0.5}

    first, second = (kept(tmp_path / "x.pt", compute) for _ in range(2))

    assert len(calls) == 1
    assert torch.equal(first["weight"], second["weight"])
    assert second["threshold"] == 0.5
