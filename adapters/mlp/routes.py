"""The routes of the mlp API."""

from __future__ import annotations

from flask import Blueprint

from adapters.http import BasicAuth
from adapters.mlp import account, capabilities, images, inference, keys, label_sets, projects, training, workspaces
from adapters.mlp import annotations as image_annotations
from adapters.mlp.api import api
from backend.services import Services

NOUNS = (
    account,
    keys,
    workspaces,
    capabilities,
    projects,
    images,
    label_sets,
    image_annotations,
    training,
    inference,
)
"""Each declares its operations when it is imported; the guides name them in the order in which that happens."""


def blueprint(services: Services, auth: BasicAuth) -> Blueprint:
    """Return the routes."""
    return api.blueprint(services)


__all__ = ["api", "blueprint"]
