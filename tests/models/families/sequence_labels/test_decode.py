import itertools

import numpy as np
import pytest

from models.families.sequence_labels.decode import FLOOR, Candidate, Layer, allowed, candidates, choose


def random_layer(num_types: int, *, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    num_tags = 1 + 2 * num_types
    types = tuple("abcd"[:num_types])
    return Layer(types, rng.normal(0, 1, (num_tags, num_tags)), rng.normal(0, 1, num_tags))


def spans_of(path: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """Return number of the type, start and end of each span of a chain of tags."""
    found = []
    for at, tag in enumerate(path):
        if tag % 2 == 1:
            found.append([tag // 2, at, at + 1])
        elif tag:
            found[-1][2] = at + 1
    return {(kind, start, end) for kind, start, end in found}


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_of_spans_agree_with_a_sum_over_all_chains(seed: int) -> None:
    layer = random_layer(2, seed=seed)
    rng = np.random.default_rng(seed)
    emissions = [rng.normal(0, 1, (length, 5)).astype(np.float32) for length in (4, 1, 3)]

    found = candidates(layer, emissions)

    follows, may_be_first = allowed(2)
    for window, spans in zip(emissions, found, strict=True):
        weights: dict[tuple[int, int, int], float] = {}
        total = 0.0
        for path in itertools.product(range(5), repeat=len(window)):
            if not may_be_first[path[0]] or not all(follows[a, b] for a, b in itertools.pairwise(path)):
                continue
            score = layer.first_T[path[0]] + sum(float(window[n, tag]) for n, tag in enumerate(path))
            weight = np.exp(score + sum(layer.transitions_TT[a, b] for a, b in itertools.pairwise(path)))
            total += weight
            for span in spans_of(path):
                weights[span] = weights.get(span, 0.0) + weight
        expected = {("ab"[k], s, e): w / total for (k, s, e), w in weights.items() if w / total >= FLOOR}
        ours = {(span.label, span.start, span.end): span.probability for span in spans}
        assert ours == pytest.approx(expected, abs=1e-6)
        assert [span.probability for span in spans] == sorted(ours.values(), reverse=True)


def test_the_likeliest_spans_that_do_not_overlap_are_chosen() -> None:
    spans = [Candidate(0.6, 2, 5, "a"), Candidate(0.5, 4, 6, "b"), Candidate(0.3, 5, 6, "a"), Candidate(0.1, 0, 1, "b")]

    assert choose(spans, 0.2) == [spans[0], spans[2]]


def test_long_windows_and_contradicting_tokens_make_no_invalid_numbers() -> None:
    layer = random_layer(1, seed=0)
    emissions = np.full((3000, 3), -500, np.float32)
    emissions[:, 2] = 500  # inside, which nothing may begin with

    found = candidates(layer, [emissions, np.zeros((0, 3), np.float32)])

    assert all(0 <= span.probability <= 1 for span in found[0])
    assert found[1] == []


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert candidates(random_layer(1, seed=0), []) == []
    assert candidates(random_layer(1, seed=0), [np.zeros((0, 3), np.float32)]) == [[]]
    assert candidates(random_layer(0, seed=0), [np.zeros((2, 1), np.float32)]) == [[]]


def test_layers_survive_storage() -> None:
    layer = random_layer(2, seed=1)

    restored = Layer.from_json(layer.to_json())

    assert restored.types == layer.types
    assert np.allclose(restored.transitions_TT, layer.transitions_TT, atol=1e-6)
    assert np.allclose(restored.first_T, layer.first_T, atol=1e-6)
