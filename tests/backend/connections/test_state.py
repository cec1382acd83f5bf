from __future__ import annotations

import itertools

import pytest

from backend.connections.state import Facts, State, derive
from backend.projects.service import Mirror
from backend.services import Services


@pytest.mark.parametrize(
    ("reachable", "training", "predicting", "failed"), [*itertools.product([True, False], repeat=4)]
)
def test_the_first_fact_that_holds_decides(reachable: bool, training: bool, predicting: bool, failed: bool) -> None:
    # C-113: DI before TR before PR before ER before CO
    expected = (
        State.DISCONNECTED
        if not reachable
        else State.TRAINING
        if training
        else State.PREDICTING
        if predicting
        else State.ERROR
        if failed
        else State.CONNECTED
    )

    found = derive(Facts(reachable, training, predicting, "why" if failed else None))

    assert found.state is expected
    assert found.error_message == ("why" if expected is State.ERROR else None)


def test_a_project_goes_through_its_states(services: Services, mirror: Mirror) -> None:
    def state() -> tuple[str, str | None]:
        found = services.connections.state(mirror.project.id)
        return found.state.value, found.error_message

    assert state() == ("DI", None)
    services.projects.note_contact(mirror.origin)
    assert state() == ("CO", None)
    with services.batches.started(mirror.project.id, 5):
        assert state() == ("PR", None)
        [run] = services.training.wish(mirror.project.id, reason="test")
        assert state() == ("TR", None)
    services.training.cancel(run.id)
    assert state() == ("CO", None)
    services.projects.note_contact(mirror.origin, error="Label Studio refused our token")
    assert state() == ("ER", "Label Studio refused our token")
