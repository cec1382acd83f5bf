"""Models that somebody already has: `tandem models list`, `tandem models add`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from adapters.cli.answers import as_json_option, console, print_json, table
from adapters.cli.opening import choose_label_set, choose_project, opened_services


@click.group()
def models() -> None:
    """See what can be learnt, add models that you already have, and take away what a server has learnt.

    `list` and `add` are about this machine, everything else about the server that you are logged in to.
    """


@models.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """List the model families, and the layouts of ONNX detectors that can be added."""
    from models.catalog import FAMILIES
    from models.imported.layouts import LAYOUTS

    if as_json:
        print_json(
            {
                "families": [
                    {"name": f.name, "medium": f.medium, "objectives": sorted(f.objectives), "summary": f.summary}
                    for f in FAMILIES
                ],
                "layouts": {name: layout.summary for name, layout in LAYOUTS.items()},
            }
        )
        return
    rows = [(f.name, f.medium, ", ".join(sorted(f.objectives)).replace("_", " ") or None, f.summary) for f in FAMILIES]
    console().print(table(("Family", "Looks at", "Learns", "Summary"), rows))
    console().print(table(("Layout", "Of"), [(name, layout.summary) for name, layout in LAYOUTS.items()]))


def _three_numbers(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise click.BadParameter("should be three numbers, like 0.485,0.456,0.406", param=parameter)
    return numbers


@models.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--project", help="Its number in Label Studio, or its id; not needed where there is only one.")
@click.option("--label-set", help="The control tag that the model answers; not needed where there is only one.")
@click.option(
    "--names",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The model's labels, one per line, in its order; not needed where the file says them.",
)
@click.option("--layout", help="Of a detector's outputs; otherwise found out. `tandem models list` shows them.")
@click.option("--colours", type=click.Choice(["rgb", "bgr"]), help="Which colour comes first.")
@click.option("--fit", type=click.Choice(["squeeze", "centre", "corner"]), help="How an image gets the input's size.")
@click.option("--scale", type=float, help="Pixels from 0 to 255 are multiplied by it.")
@click.option("--mean", callback=_three_numbers, help="Is subtracted after that, one number for each colour.")
@click.option("--std", callback=_three_numbers, help="Divides the result, one number for each colour.")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Smaller scores are not answered.")
@click.option("--pin", is_flag=True, help="Keep it in use when new versions are trained.")
@as_json_option
def add(
    file: Path,
    project: str | None,
    label_set: str | None,
    names: Path | None,
    layout: str | None,
    colours: str | None,
    fit: str | None,
    scale: float | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    min_score: float | None,
    pin: bool,
    as_json: bool,
) -> None:
    """Let an ONNX detector or classifier answer for a control, as a version like any other.

    Its labels are matched to those of the config by name, or by the predicted_values attribute of a label.
    """
    changes = {"is_bgr": None if colours is None else colours == "bgr", "scale": scale, "mean": mean, "std": std}
    version, matched = _add(
        file,
        project,
        label_set,
        said={
            "names": names.read_text(encoding="utf-8").splitlines() if names else (),
            "layout": layout,
            "changes": {key: value for key, value in changes.items() if value is not None},
            "fit": fit,
            "min_score": min_score,
        },
        is_pinned=pin,
    )
    unmatched = [label for label, known_as in matched.items() if not known_as]
    if as_json:
        print_json({"version": version, "labels": matched})
        return
    click.echo(f"{version} answers from now on")
    for label, known_as in matched.items():
        if known_as:
            click.echo(f"  {label!r} is what the model calls {', '.join(map(repr, known_as))}")
    if unmatched:
        click.echo(
            f"  the model knows nothing called {', '.join(map(repr, unmatched))}; give such labels predicted_values"
        )


def _add(
    file: Path, project: str | None, label_set: str | None, *, said: dict[str, Any], is_pinned: bool
) -> tuple[str, dict[str, list[str]]]:
    """Register the file; return the version's name, and what the model calls each label of the config."""
    from tempfile import TemporaryDirectory

    from backend.errors import Invalid
    from models.family import FamilyError
    from models.imported.importing import import_onnx
    from models.imported.layouts import LAYOUTS
    from models.imported.preparing import Fit

    if said["layout"] is not None and said["layout"] not in LAYOUTS:
        raise Invalid(f"--layout should be one of {', '.join(LAYOUTS)}")
    fit = said.pop("fit")
    if fit is not None:
        said["changes"]["fit"] = Fit(fit)
    with opened_services() as services, TemporaryDirectory() as folder:
        chosen = choose_label_set(choose_project(services, project), label_set)
        schema = chosen.schema
        said["names"] = [name.strip() for name in said["names"] if name.strip()]
        try:
            manifest = import_onnx(file, Path(folder), schema.objective, **said)
        except FamilyError as error:
            raise Invalid(str(error)) from error
        matched: dict[str, list[str]] = {name: [] for name in schema.names}
        for name in manifest.schema.names:
            if (known_as := schema.match(name)) is not None:
                matched[known_as].append(name)
        if not any(matched.values()):
            raise Invalid(
                f"none of the model's labels ({', '.join(manifest.schema.names[:10])} …) is one of the config "
                f"({', '.join(schema.names)}); name them in predicted_values of the labels"
            )
        version = services.versions.register(chosen.id, services.versions.keep(Path(folder)), run_id="", snapshot="")
        services.versions.promote(version, reason=f"added from {file.name}")
        if is_pinned:
            services.versions.pin(version)
        return version.name, matched
