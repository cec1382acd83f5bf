"""What agents call the things that can be learnt (mlp.md §2.1)."""

from __future__ import annotations

from models.labels import Objective

_TASK_TYPES = {
    Objective.DETECTION: "detection",
    Objective.INSTANCE_SEGMENTATION: "segmentation",
    Objective.SEMANTIC_SEGMENTATION: "segmentation",
    Objective.CLASSIFICATION: "classification",
    Objective.MULTI_LABEL: "classification",
    Objective.KEY_POINTS: "keypoints",
}


def task_type(objective: Objective) -> str:
    """Return the task type of an objective; those that the contract does not know have their own name.

    >>> task_type(Objective.KEY_POINTS), task_type(Objective.REGRESSION)
    ('keypoints', 'regression')
    """
    return _TASK_TYPES.get(objective, objective.value)


def is_known(objective: Objective) -> bool:
    """Say whether the contract has a task type for an objective."""
    return objective in _TASK_TYPES


def objective_of(name: str, *, multiple: bool = False, has_masks: bool = False) -> Objective:
    """Return what is meant by a task type and what was said with it.

    >>> objective_of("classification", multiple=True)
    <Objective.MULTI_LABEL: 'multi_label'>
    """
    meant = {Objective.MULTI_LABEL: multiple, Objective.SEMANTIC_SEGMENTATION: has_masks}
    fitting = [objective for objective, told in _TASK_TYPES.items() if told == name]
    return next((each for each in fitting if meant.get(each)), fitting[0])
