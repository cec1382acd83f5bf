"""Classes of the first generation for models that classify texts by one `Choices` control."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from .model import LabelStudioMLBase


class LabelStudioMLBaseHelper(LabelStudioMLBase):
    """Splits `predict` and `fit` into reading tasks, the model proper, and writing predictions."""

    @abstractmethod
    def prepare_tasks(self, tasks: Any, workdir: str | None = None, **kwargs: Any) -> tuple[Any, Any]:
        """Return inputs and, where tasks are annotated, wanted outputs."""

    @abstractmethod
    def convert_predictions(self, predictions: Any, **kwargs: Any) -> Any:
        """Return predictions in Label Studio's form."""

    @abstractmethod
    def predict2(self, X: Any, y: Any = None, **kwargs: Any) -> Any:  # noqa: N803
        """Predict inputs."""

    @abstractmethod
    def fit2(self, X: Any, y: Any, **kwargs: Any) -> Any:  # noqa: N803
        """Learn; what is returned becomes `train_output`."""

    def predict(self, tasks: Any, context: Any = None, **kwargs: Any) -> Any:
        """Predict tasks."""
        inputs, outputs = self.prepare_tasks(tasks, **kwargs)
        return self.convert_predictions(self.predict2(inputs, outputs, **kwargs), **kwargs)

    def fit(self, tasks: Any, workdir: str | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Learn from tasks."""
        inputs, outputs = self.prepare_tasks(tasks, workdir=workdir, **kwargs)
        return self.fit2(inputs, outputs, **kwargs)


class LabelStudioMLChoices(LabelStudioMLBaseHelper):
    """Classifies by the one `Choices` control of a label config; `predict2` returns choices and scores."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        assert len(self.parsed_label_config) == 1
        self.from_name, self.info = next(iter(self.parsed_label_config.items()))
        assert self.info["type"] == "Choices"
        assert len(self.info["to_name"]) == 1
        assert len(self.info["inputs"]) == 1
        self.to_name = self.info["to_name"][0]
        self.value = self.info["inputs"][0]["value"]

    def prepare_tasks(self, tasks: Any, workdir: str | None = None, **kwargs: Any) -> tuple[Any, Any]:
        """Return the data of tasks, and their choices or None."""
        annotated = [task.get("annotations") or task.get("completions") for task in tasks]
        choices = [found[0]["result"][0]["value"]["choices"] if found else None for found in annotated]
        return [task["data"][self.value] for task in tasks], choices

    def convert_predictions(self, predictions: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one prediction for each pair of choices and score."""
        return [
            {
                "result": [
                    {
                        "from_name": self.from_name,
                        "to_name": self.to_name,
                        "type": "choices",
                        "value": {"choices": choices},
                    }
                ],
                "score": score,
            }
            for choices, score in zip(*predictions, strict=True)
        ]
