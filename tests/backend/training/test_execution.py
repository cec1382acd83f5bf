from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from backend_doubles import FakeFit

from backend.projects.service import Mirror, Promotion
from backend.services import Services
from backend.training.run import RunState
from models.family import FamilyError, Report

Label = Callable[[Sequence[str]], None]
Train = Callable[[], str]


def test_a_run_ends_with_a_version_that_answers(services: Services, mirror: Mirror, label: Label, train: Train) -> None:
    label(["cat"] * 5 + ["dog"] * 5)

    run = services.training.get(train())

    version = services.versions.get(run.version_id or "")
    assert run.state == RunState.COMPLETED
    assert run.progress["fraction"] == 1.0
    assert run.history == [{"stage": "training", "epoch": 1, "loss": 0.25}]
    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id == version.id
    assert (version.number, version.snapshot, version.run_id) == (1, run.snapshot, run.id)
    assert version.name == f"pet-v1-{version.files['model.onnx'][:8]}"


def test_training_again_on_the_same_labels_gives_the_same_version_without_work(
    services: Services, label: Label, train: Train, fit: FakeFit
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)

    first, second = services.training.get(train()), services.training.get(train())

    assert fit.num_calls == 1
    assert first.snapshot == second.snapshot
    assert first.version_id == second.version_id


def test_what_a_family_cannot_learn_ends_the_run_with_its_sentence(
    services: Services, mirror: Mirror, label: Label, train: Train, fit: FakeFit
) -> None:
    def refuse(_: Report) -> None:
        raise FamilyError("there is only one label; at least two are needed")

    label(["cat"])
    fit.during = refuse

    run = services.training.get(train())

    assert (run.state, run.error) == (RunState.FAILED, "there is only one label; at least two are needed")
    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id is None


def test_a_crash_in_a_family_ends_the_run_without_a_traceback(
    services: Services, label: Label, train: Train, fit: FakeFit
) -> None:  # C-065
    def crash(_: Report) -> None:
        raise ZeroDivisionError("secret")

    label(["cat"] * 5 + ["dog"] * 5)
    fit.during = crash

    run = services.training.get(train())

    assert run.state == RunState.FAILED
    assert "ZeroDivisionError" in (run.error or "")
    assert "secret" not in (run.error or "")


def test_a_run_cancelled_while_it_fits_registers_nothing(
    services: Services, mirror: Mirror, label: Label, train: Train, fit: FakeFit
) -> None:
    def cancel(_: Report) -> None:
        [run] = services.training.of_project(mirror.project.id)
        services.training.cancel(run.id)

    label(["cat"] * 5 + ["dog"] * 5)
    fit.during = cancel

    run = services.training.get(train())

    assert run.state == RunState.CANCELLED
    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id is None


@pytest.mark.parametrize(
    ("answers", "is_promoted"),
    [({}, False), ({"right": "yes"}, True)],
    ids=["as good as the present one", "better than the present one"],
)
def test_when_better_promotes_only_what_is_better_on_the_same_held_out_items(
    services: Services,
    mirror: Mirror,
    label: Label,
    train: Train,
    fit: FakeFit,
    answers: dict[str, str],
    is_promoted: bool,
) -> None:
    services.projects.change(mirror.project.id, promotion=Promotion.WHEN_BETTER)
    truth = ["cat"] * 10 + ["dog"] * 5
    label(truth)
    first = services.training.get(train()).version_id

    label([*truth, "cat"])
    fit.answers = {str(number): name for number, name in enumerate(truth)} if answers else {}
    second = services.training.get(train()).version_id

    assert first != second
    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id == (second if is_promoted else first)


def test_manual_promotion_only_registers(services: Services, mirror: Mirror, label: Label, train: Train) -> None:
    services.projects.change(mirror.project.id, promotion=Promotion.MANUAL)
    label(["cat"] * 5 + ["dog"] * 5)
    first = services.training.get(train()).version_id
    label(["cat"] * 6 + ["dog"] * 5)

    second = services.training.get(train()).version_id

    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id == first != second


def test_a_pinned_version_stays_when_a_new_one_is_trained(
    services: Services, mirror: Mirror, label: Label, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    first = services.versions.get(services.training.get(train()).version_id or "")
    services.versions.pin(first)
    label(["cat"] * 6 + ["dog"] * 5)

    train()

    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id == first.id
    assert len(services.versions.of_project(mirror.project.id)) == 2


@pytest.mark.parametrize("is_better", [True, False])
def test_a_click_segmenter_answers_only_where_it_is_measurably_better(
    services: Services, mirror: Mirror, label: Label, train: Train, fit: FakeFit, is_better: bool
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    fit.metrics = {"is_better_than_classical": is_better}

    run = services.training.get(train())

    version = services.versions.get(run.version_id or "")
    assert run.state == RunState.COMPLETED
    assert services.projects.get_label_set(mirror.label_sets[0].id).version_id == (version.id if is_better else None)
