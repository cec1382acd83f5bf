"""Commands against a server that are written by hand: in place of generated ones, and beside them."""

from __future__ import annotations

from collections.abc import Mapping

WHERE: Mapping[str, str] = {
    "images upload": "adapters.cli.images:upload",
    "images download": "adapters.cli.images:download",
    "splits set": "adapters.cli.splits:set_",
    "labels set": "adapters.cli.labels:set_",
    "labels import": "adapters.cli.labels:import_",
    "labels export": "adapters.cli.labels:export",
    "training start": "adapters.cli.training:start",
    "training wait": "adapters.cli.training:wait",
    "training show": "adapters.cli.training:show",
    "training logs": "adapters.cli.training:logs",
    "models download": "adapters.cli.model_files:download",
    "infer-all": "adapters.cli.batches:infer_all",
    "infer-all results": "adapters.cli.batches:infer_all_results",
    "evaluate": "adapters.cli.batches:evaluate",
    "evaluate results": "adapters.cli.batches:evaluate_results",
    "workspaces create": "adapters.cli.sharing:create",
    "workspaces add-member": "adapters.cli.sharing:add_member",
}
"""Module and name of a `click.Command`, by its words: `"images upload": "adapters.cli.images:upload"`."""
