"""What `predict` may return: predictions, and the version that made them."""

from __future__ import annotations

from typing import TypeAlias

from label_studio_sdk.label_interface.objects import PredictionValue
from pydantic import BaseModel, ConfigDict

SingleTaskPredictions: TypeAlias = list[PredictionValue] | PredictionValue
"""One prediction of a task, or several."""


class ModelResponse(BaseModel):
    """Predictions, one entry for each task in their order; dicts become `PredictionValue`."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str | None = None
    predictions: list[SingleTaskPredictions]

    def has_model_version(self) -> bool:
        """Say whether a version is set."""
        return bool(self.model_version)

    def update_predictions_version(self) -> None:
        """Give the version to the predictions that have none."""
        for entry in self.predictions:
            for prediction in entry if isinstance(entry, list) else [entry]:
                if not prediction.model_version:
                    prediction.model_version = self.model_version

    def set_version(self, version: str) -> None:
        """Set the version, and give it to the predictions that have none."""
        self.model_version = version
        self.update_predictions_version()
