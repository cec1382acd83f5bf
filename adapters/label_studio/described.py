"""What a labelling config makes of a project: its label sets, those that answer clicks included."""

from __future__ import annotations

from typing import Any

from adapters.label_studio import click_sets
from adapters.label_studio.access import KIND
from adapters.label_studio.label_config import LabelConfig
from backend.projects.service import Mirror, Projects


def take_note(projects: Projects, uid: str, document: str, config: LabelConfig, **said: Any) -> Mirror:
    """Find the project with this uid, or create it, and let it be as a config describes it.

    Args:
        projects: Where.
        uid: The project's name in Label Studio.
        document: The config as it is written.
        config: As it was read.
        **said: What else the caller said, see `Projects.mirror`.
    """
    clicks = click_sets.click_sets(config)
    schemas = {binding.control_name: binding.schema for binding in config.bindings}
    schemas |= {each.name: click_sets.SCHEMA for each in clicks}
    fields = {each.control_name: each.data_key for each in config.bindings}
    fields |= {each.name: each.data_key for each in clicks}
    return projects.mirror(KIND, uid, document=document, schemas=schemas, fields=fields, **said)
