"""How is an interactive request answered? What an annotator points at → a region of the finest kind the config has."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from adapters.label_studio import click_sets
from adapters.label_studio.access import Access
from adapters.label_studio.label_config import Binding, LabelConfig
from adapters.label_studio.prediction import fetch
from adapters.label_studio.results import Found, encode, prompts
from adapters.label_studio.results.formats import SHAPES
from adapters.label_studio.results.prompts import Drawn, Interaction
from adapters.label_studio.wire import PredictParams, Task
from backend.errors import TandemError
from backend.inference.interactive import Pointed
from backend.inference.service import Item
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion, combined_name
from models import segments, texts
from models.labels import Medium
from models.regions import Region

log = logging.getLogger(__name__)

_OUTPUTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bitmasklabels": ("BitmaskLabels", "mask"),
        "bitmask": ("Bitmask", "mask"),
        "brushlabels": ("BrushLabels", "mask"),
        "brush": ("Brush", "mask"),
        "polygonlabels": ("PolygonLabels", "polygon"),
        "polygon": ("Polygon", "polygon"),
        "ellipselabels": ("EllipseLabels", "ellipse"),
        "ellipse": ("Ellipse", "ellipse"),
        "rectanglelabels": ("RectangleLabels", "bbox"),
        "rectangle": ("Rectangle", "bbox"),
    }
)
"""What can take what a click finds, the finest first: tag in results, tag in configs, kind of region."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an interactive request.

    Attributes:
        result: Items; empty where there is nothing to suggest, which clears what the browser shows.
        score: How good they are believed to be, in [0, 1].
        reason: Why there are none, for people; "" where nothing was pointed at.
    """

    result: tuple[dict[str, Any], ...] = ()
    score: float = 0.0
    reason: str = ""


class _NoAnswer(Exception):
    """The reason for an empty reply."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, as far as every step needs it."""

    mirror: Mirror | None
    config: LabelConfig
    versions: Mapping[str, ModelVersion]
    task: Task
    params: PredictParams

    def version(self, name: str) -> ModelVersion | None:
        """Return the version in use of a label set."""
        rows = self.mirror.label_sets if self.mirror else ()
        return next((self.versions[row.id] for row in rows if row.name == name and row.id in self.versions), None)


class InteractivePredictor:
    """Answers clicks, boxes, strokes, parts of texts, and typed names of labels."""

    def __init__(self, services: Services, access: Access, *, model_name: str) -> None:
        self._services = services
        self._model_name = model_name
        self._access = access

    def answer(
        self,
        interaction: Interaction,
        mirror: Mirror | None,
        config: LabelConfig,
        versions: Mapping[str, ModelVersion],
        tasks: Sequence[Task],
        params: PredictParams,
    ) -> Reply:
        """Return what an annotator should see now. Whatever goes wrong, the reply is empty and says why.

        Args:
            interaction: What was asked.
            mirror: The project; None where it is not known.
            config: Its labelling configuration.
            versions: The version in use, by label set id.
            tasks: Only the first counts; Label Studio sends one.
            params: Credentials of protected media.

        Raises:
            Unavailable: Too much is being predicted at once, or it takes too long.
        """
        if interaction.event != prompts.PREDICT:
            info = {"name": self._model_name, "version": combined_name(versions)}
            return Reply(_acknowledge(interaction.event, config, info))
        regions = prompts.drawn(interaction.items)
        if not regions or not tasks:
            return Reply()
        asked = _Asked(mirror, config, versions, tasks[0], params)
        reply = self._services.inference.run(lambda: self._answer(asked, prompts.about_one_thing(regions)))
        if reply.reason:
            about = {"task_id": asked.task.id, "control": regions[-1].control_name, "reason": reply.reason}
            log.info("interactive request found nothing", extra=about)
        return reply

    def _answer(self, asked: _Asked, regions: Sequence[Drawn]) -> Reply:
        newest = regions[-1]
        try:
            if newest.is_shape:
                return self._point(asked, regions)
            if newest.is_span:
                return self._suggest(asked, newest, label=newest.label, drawn=regions)
            return self._suggest(asked, newest, label=newest.newest_text, drawn=())
        except _NoAnswer as reason:
            return Reply(reason=str(reason))
        except TandemError as error:
            return Reply(reason=error.message)
        except Exception as error:
            log.exception("answering an interactive request crashed", extra={"task_id": asked.task.id})
            return Reply(reason=f"answering crashed ({type(error).__name__}); the log of the server says more")

    # Images.

    def _point(self, asked: _Asked, regions: Sequence[Drawn]) -> Reply:
        """Answer what is drawn on an image with the thing that it points at."""
        binding, label = _find_output(asked.config, regions[0])
        pointed_at, faults = prompts.to_prompts(regions)
        if pointed_at.is_empty:
            if faults:
                raise _NoAnswer(f"what was drawn cannot be read: {faults[0]}")
            return Reply()  # what is not in the thing is known, and nothing that is
        item = self._fetched(asked, binding)
        segmenter = self._services.segmenters.choose(self._learned(asked.mirror, binding))
        pointed = self._services.interactive.segment(segmenter, item.media, item.source, pointed_at)
        region = _to_region(pointed, binding.control_tag, label)
        if region is None:
            raise _NoAnswer("nothing was found at this place")
        # A score says how good the outline is; it is not the certainty that thresholds are about.
        binding = replace(binding, score_threshold=0.0, conditions=())
        found = Found(binding, [region], pointed.width_px, pointed.height_px)
        encoded = encode([found], config=asked.config, task_id=asked.task.id)
        # NOTE: Accepting a suggestion whose id exists replaces that region, so the id stays as long as the first
        # prompt does, which is until the suggestion is accepted; the next thing gets another one.
        name = _stable_id(asked.task.id, binding.control_name, label, regions[0].id)
        return Reply(tuple({**item, "id": name} for item in encoded.result), encoded.score)

    def _learned(self, mirror: Mirror | None, binding: Binding) -> ModelVersion | None:
        """Return what the project learnt about clicks on an image."""
        rows = mirror.label_sets if mirror else ()
        name = click_sets.name_of(binding.object_name)
        return next(iter(self._services.versions.answering_clicks([r for r in rows if r.name == name]).values()), None)

    # What trained models know.

    def _suggest(self, asked: _Asked, newest: Drawn, *, label: str | None, drawn: Sequence[Drawn]) -> Reply:
        """Answer with what the trained model of the same object finds under a label, less what is there already."""
        if not label:
            raise _NoAnswer("choose a label first; the answer has the label of what was drawn")
        binding, version, name = _find_trained(asked, newest, label)
        item = self._fetched(asked, binding)
        [outcome] = self._services.inference.predict(version, [item])
        if isinstance(outcome, TandemError):
            raise outcome
        regions = [region for region in outcome.regions if binding.schema.match(region.label) == name]
        text = texts.read(item.source) if binding.schema.medium is Medium.TEXT else None
        found = Found(binding, regions, outcome.width_px, outcome.height_px, text)
        encoded = encode([found], config=asked.config, task_id=asked.task.id)
        named = ({**item, "id": _stable_id(asked.task.id, name, *_place(item))} for item in encoded.result)
        new = _without(named, [*drawn, *_drafted(asked.task)])
        if not new:
            raise _NoAnswer(f"{version.name} finds nothing more that is called {name!r}")
        return Reply(new, encoded.score)

    def _fetched(self, asked: _Asked, binding: Binding) -> Item:
        media = self._access.media(asked.mirror.origin if asked.mirror else None)
        fetched = fetch(binding, asked.task, media, asked.params)
        if isinstance(fetched, TandemError):
            raise fetched
        return fetched


def _acknowledge(event: str, config: LabelConfig, model_info: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """Return the reply to what the Enterprise editor asks besides: what can be done, to prepare and to release frames.

    It waits for an answer of the matching type; nothing is tracked, and images are prepared with the first click.
    """
    outputs = [_OUTPUTS[binding.control_tag] for binding in config.bindings if binding.control_tag in _OUTPUTS]
    targets = [{"tag": tag, "output": kind} for tag, kind in dict.fromkeys(outputs)]
    can = {"prompts": ["point", "box"] if targets else [], "targets": targets, "model_info": model_info}
    replies: dict[str, tuple[str, dict[str, Any]]] = {
        "capabilities": ("capabilities", can),
        "prewarm": ("prewarm_ack", {"status": "unsupported", "cached": [], "pending": [], "frame_count": 0}),
        "track_cancel": ("track_cancel_ack", {"status": "not_found"}),
        "release": ("release_ack", {"status": "released"}),
    }
    if event not in replies:
        return ()
    kind, value = replies[event]
    return ({"id": kind, "type": kind, "value": value},)


def _find_output(config: LabelConfig, prompt: Drawn) -> tuple[Binding, str]:
    """Return the control that takes what a prompt points at, and the label there.

    That of the finest regions comes first, the prompt's own last: whoever draws a box and has polygons wants those.
    """
    ranks = {tag: rank for rank, tag in enumerate(_OUTPUTS)}
    there = [b for b in config.bindings if b.object_name == prompt.object_name and b.control_tag in ranks]
    there.sort(key=lambda binding: (binding.control_name == prompt.control_name, ranks[binding.control_tag]))
    if not there:
        raise _NoAnswer(
            f"no control attached to {prompt.object_name!r} takes what a click finds; it takes <BrushLabels>, "
            "<BitmaskLabels>, <PolygonLabels>, <EllipseLabels> or <RectangleLabels>"
        )
    for binding in there:
        if (name := _name_under(binding, prompt.label)) is not None:
            return binding, name
    names = ", ".join(binding.control_name for binding in there)
    if prompt.label is None:
        raise _NoAnswer(f"choose a label before pointing at something; {names} needs one")
    raise _NoAnswer(f"the label {prompt.label!r} is not among those of {names}")


def _name_under(binding: Binding, label: str | None) -> str | None:
    """Return what a label is called under a control; where that gives no names, or just one, nothing has to be said."""
    names = binding.schema.names
    if not binding.has_names or (label is None and len(names) == 1):
        return names[0]
    return None if label is None else binding.schema.match(label)


def _find_trained(asked: _Asked, newest: Drawn, label: str) -> tuple[Binding, ModelVersion, str]:
    """Return the control on the same object whose model knows a label, that model, and the label's name there."""
    there = [b for b in asked.config.bindings if b.object_name == newest.object_name and b.control_tag in SHAPES]
    there.sort(key=lambda binding: binding.control_name != newest.control_name)
    known = [(binding, name) for binding in there if (name := binding.schema.match(label)) is not None]
    for binding, name in known:
        if (version := asked.version(binding.control_name)) is not None:
            return binding, version, name
    if known:
        raise _NoAnswer(f"{known[0][0].control_name} was not trained yet, so it finds no {known[0][1]!r}")
    if newest.is_span:
        raise _NoAnswer(f"no model of this release answers what is drawn with {newest.control_name!r}")
    raise _NoAnswer(
        "no model of this release answers free text; what is written may be the name of a label that a trained "
        f"control of {newest.object_name!r} draws"
    )


def _to_region(pointed: Pointed, tag: str, label: str) -> Region | None:
    segment, size_px = pointed.segment, {"width_px": pointed.width_px, "height_px": pointed.height_px}
    if segment is None:
        return None
    match _OUTPUTS[tag][1]:
        case "mask":
            return segments.to_mask(segment, label, **size_px)
        case "polygon":
            return segments.to_polygon(segment, label)
        case "ellipse":
            return segments.to_ellipse(segment, label, **size_px)
        case _:
            return segments.to_box(segment, label)


def _drafted(task: Task) -> list[Drawn]:
    """Return what the annotator who asks has drawn and not submitted yet."""
    drafts = task.drafts if isinstance(task.drafts, list) else []
    items = (item for draft in drafts if isinstance(draft, dict) for item in prompts.read_items(draft.get("result")))
    return prompts.drawn(items)


def _without(items: Iterable[dict[str, Any]], there: Sequence[Drawn]) -> tuple[dict[str, Any], ...]:
    """Return items less those that are there already, by id or by place."""
    ids, places = {region.id for region in there}, {_place(region.item) for region in there} - {()}
    return tuple(item for item in items if item["id"] not in ids and _place(item) not in places)


_PLACE = ("x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "start", "end")


def _place(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where an item is; () where it does not say in numbers."""
    value = item.get("value")
    return tuple(f"{key} {value[key]}" for key in _PLACE if key in value) if isinstance(value, dict) else ()


def _stable_id(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="replace")).hexdigest()[:12]
