"""Event names and bodies of Label Studio → those that models were written for; contract E.3 #8."""

from __future__ import annotations

from adapters.hosting.events import Delivery, deliveries

OLD = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "START_TRAINING")
PROJECT = {"id": 1}


def test_a_known_event_is_delivered_with_all_but_its_action() -> None:
    body = {"action": "ANNOTATION_UPDATED", "annotation": {"id": 5}, "task": {"id": 2}, "project": PROJECT}

    assert deliveries("ANNOTATION_UPDATED", body, OLD) == [
        Delivery("ANNOTATION_UPDATED", {"annotation": {"id": 5}, "task": {"id": 2}, "project": PROJECT})
    ]


def test_a_list_of_annotations_is_delivered_one_by_one_with_its_tasks() -> None:
    body = {"annotation": [{"id": 5}, {"id": 6}], "task": [{"id": 2}, {"id": 3}], "project": PROJECT}

    assert deliveries("ANNOTATIONS_CREATED", body, OLD) == [
        Delivery("ANNOTATION_CREATED", {"annotation": {"id": 5}, "task": {"id": 2}, "project": PROJECT}),
        Delivery("ANNOTATION_CREATED", {"annotation": {"id": 6}, "task": {"id": 3}, "project": PROJECT}),
    ]


def test_a_model_that_knows_the_new_names_gets_them() -> None:
    body = {"annotations": [{"id": 5}], "project": PROJECT}

    assert deliveries("ANNOTATIONS_DELETED", body, (*OLD, "ANNOTATIONS_DELETED")) == [
        Delivery("ANNOTATIONS_DELETED", body)
    ]


def test_an_event_that_a_model_does_not_learn_from_leads_to_nothing() -> None:
    assert deliveries("TASKS_CREATED", {"tasks": [{"id": 5}], "project": PROJECT}, OLD) == []
    assert deliveries("ANNOTATIONS_DELETED", {"annotations": [{"id": 5}]}, ["START_TRAINING"]) == []


def test_a_delivery_shows_nothing_of_its_data() -> None:
    assert "secret" not in repr(Delivery("START_TRAINING", {"project": {"token": "secret"}}))
