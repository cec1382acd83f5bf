"""What this server can do."""

from __future__ import annotations

from adapters.formats.exchange import FORMATS
from adapters.mlp.api import api
from adapters.mlp.image_wire import MAX_FILES
from adapters.mlp.task_types import is_known, task_type
from adapters.mlp.wire import Body
from adapters.operations import MAX_JSON_BYTES, Call, Effect
from backend.datasets.images import MAX_IMAGE_BYTES
from backend.rate_limit import CAPACITY, REFILL_PER_S
from models.catalog import FAMILIES
from models.family import ARCHITECTURES
from models.labels import Medium


class Architecture(Body):
    """A network that may be asked for."""

    name: str
    note: str


class TaskType(Body):
    """A kind of labels."""

    task_type: str
    trainable: bool
    architectures: list[Architecture]


class Limits(Body):
    """How much at once."""

    json_bytes: int
    image_bytes: int
    files_per_upload: int


class Rate(Body):
    """How often."""

    per_minute: int
    burst: int
    refill_per_second: float


class Features(Body):
    """What else there is."""

    approvals: bool
    webhooks: bool
    mcp: bool
    mlflow: bool
    label_studio_proxy: bool


class Gpu(Body):
    """What computes."""

    available: bool


class Capabilities(Body):
    """What this server can do."""

    task_types: list[TaskType]
    formats: list[str]
    import_formats: list[str]
    export_formats: list[str]
    limits: Limits
    rate_limit: Rate
    features: Features
    gpu: Gpu


@api.operation(
    "GET", "/capabilities", effect=Effect.READ, tag="account", tool="get-capabilities", command="capabilities"
)
def get_capabilities(call: Call) -> Capabilities:
    """Tell what can be trained, in which formats labels come and go, and the limits."""
    settings = call.services.settings
    learnt = {
        task_type(objective)
        for family in FAMILIES
        for objective in family.objectives
        if family.medium is Medium.IMAGE and is_known(objective)
    }
    return Capabilities(
        task_types=[
            TaskType(task_type=name, trainable=True, architectures=[_AUTO, *_PRETRAINED]) for name in sorted(learnt)
        ],
        formats=["onnx", "pth"],
        import_formats=list(FORMATS),
        export_formats=list(FORMATS),
        limits=Limits(json_bytes=MAX_JSON_BYTES, image_bytes=MAX_IMAGE_BYTES, files_per_upload=MAX_FILES),
        rate_limit=Rate(per_minute=round(60 * REFILL_PER_S), burst=CAPACITY, refill_per_second=REFILL_PER_S),
        features=Features(
            approvals=False,
            webhooks=False,
            mcp=True,
            mlflow=False,
            label_studio_proxy=bool(settings.label_studio_url),
        ),
        gpu=Gpu(available=settings.device_name == "cuda"),
    )


_AUTO = Architecture(name="auto", note="the best whose pretrained weights are here, else a small network of our own")
_PRETRAINED = [Architecture(name=name, note="needs its pretrained weights on the server") for name in ARCHITECTURES]
