"""The mlp API: the set that its operations are declared in."""

from __future__ import annotations

from adapters.mlp.dialect import MlpDialect
from adapters.operations import Api

api = Api("mlp", MlpDialect())
