"""What `tandem doctor` looks at on this machine: server, database, Redis, workers, weights, GPU, disk."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from adapters.cli.banner import webhook_rule
from adapters.cli.findings import Finding, broken, doubtful, fine
from adapters.cli.opening import schema_problem
from adapters.cli.reaching import ask_health, own_url
from adapters.cli.up import find_gpus
from backend.errors import Unavailable
from backend.queue import QueueName, RedisQueue
from backend.settings import Device, Settings, WebhookAuth

_GIB = 2**30
_ONE_ONNXRUNTIME = (
    "uninstall both, then install one: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'tandem-ml[gpu]' "
    "(or [cpu])"
)


def check_server(settings: Settings) -> Iterator[Finding]:
    """Ask the server for its health, with our credentials."""
    url = own_url(settings)
    health = ask_health(settings, url)
    if health.is_up:
        yield fine("server", f"{url}/health answers")
    elif health.status == 401:
        yield broken(
            "server",
            f"{url}/health refuses our credentials (401)",
            "set BASIC_AUTH_USER and BASIC_AUTH_PASS here as where the server was started",
        )
    elif health.status:
        yield broken("server", f"{url}/health answers {health.status} {health.problem}", "look into its log")
    else:
        yield broken("server", f"nothing answers at {url} ({health.problem})", "start it: tandem up; or set PORT")


def check_webhooks(settings: Settings) -> Iterator[Finding]:
    """Say whose events are accepted."""
    if settings.webhook_auth in (WebhookAuth.BASIC, WebhookAuth.TOKEN):
        yield doubtful(
            "webhooks",
            webhook_rule(settings),
            "Label Studio's automatic webhook carries no credentials: add the token to its URL in Label Studio "
            "(…/webhook?token=…), or set WEBHOOK_AUTH=auto",
        )
    else:
        yield fine("webhooks", webhook_rule(settings))


def check_database(settings: Settings) -> Iterator[Finding]:
    """Compare the database's schema with ours."""
    parts = urlsplit(settings.database)
    place = parts.path.removeprefix("/") if settings.database.startswith("sqlite") else f"{parts.hostname}{parts.path}"
    if problem := schema_problem(settings):
        yield broken("database", f"{place}: {problem}")
    else:
        yield fine("database", f"{place} has the schema of this release")


def check_queue(settings: Settings) -> Iterator[Finding]:
    """Ask Redis for a sign of life, and count the workers that wait there."""
    queue = RedisQueue(settings.redis)
    try:
        queue.ping()
    except Unavailable as error:
        yield broken("redis", error.message, "" if settings.redis_url else "tandem up starts a Redis of its own")
        return
    yield fine("redis", "answers")
    for name, kind in ((QueueName.BACKGROUND, "background"), (QueueName.TRAINING, "trainer")):
        count = queue.num_workers(name)
        waiting = f"{count} at work, {queue.depth(name)} jobs wait"
        if count:
            yield fine(f"{kind} workers", waiting)
        else:
            yield broken(f"{kind} workers", waiting, f"start one: tandem up, or tandem worker {kind}")
    if queue.has_clock():
        yield fine("clock", "starts the runs that are due")
    else:
        yield broken("clock", "is not running, so no training starts", "start it: tandem up, or tandem worker clock")


def check_weights(settings: Settings) -> Iterator[Finding]:
    """Look for pretrained weights where training looks first."""
    folder = settings.weights_folder
    found = sorted(path.name for path in folder.glob("*.pth"))
    if found:
        yield fine("weights", f"{', '.join(found)} in {folder}")
    else:
        yield doubtful(
            "weights",
            f"no pretrained weights (*.pth) in {folder}",
            "offline, training starts from random weights; to start better, put a torchvision file there, such as "
            "resnet18-f37072fd.pth",
        )


def check_gpu(settings: Settings) -> Iterator[Finding]:
    """See whether a GPU is there, and whether torch and ONNX Runtime were installed for it."""
    runtimes = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(runtimes) > 1:
        yield broken("onnxruntime", "onnxruntime and onnxruntime-gpu are both installed; one hides", _ONE_ONNXRUNTIME)
    elif not runtimes:
        yield broken("onnxruntime", "is not installed", "pip install 'tandem-ml[cpu]' (or [gpu])")
    if not _installed("torch"):
        yield broken(
            "torch", "is not installed: nothing can be trained here", "pip install 'tandem-ml[cpu]' (or [gpu])"
        )
        return
    gpus = find_gpus(settings)
    if not gpus:
        if settings.device is Device.CUDA:
            yield broken("gpu", "TANDEM_DEVICE=cuda, but nvidia-smi lists no GPU", "install the driver, or unset it")
        else:
            yield fine("gpu", "none in use; training and predictions run on the CPU")
        return
    if "onnxruntime-gpu" not in runtimes:
        yield doubtful("onnxruntime", "predicts on the CPU although there is a GPU", "pip install 'tandem-ml[gpu]'")
    version, sees_gpu = _ask_torch()
    if sees_gpu:
        yield fine("gpu", f"{len(gpus)}; torch {version} can use it")
    else:
        yield broken(
            "gpu",
            f"{len(gpus)} listed, but torch {version} cannot use it",
            "install a torch with CUDA that fits the driver (nvidia-smi shows the newest CUDA it supports)",
        )


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Look at how much may still be stored."""
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / _GIB:.1f} GiB free under {settings.home}"
    if free < _GIB:
        yield broken("disk", text, "make room, or set TANDEM_HOME to a larger disk")
    elif free < 5 * _GIB:
        yield doubtful("disk", text, "images, versions and caches may soon need more")
    else:
        yield fine("disk", text)


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ask_torch() -> tuple[str, bool]:
    """Return torch's version and whether it sees a GPU; asked in another process, which alone holds torch."""
    code = "import torch; print(torch.__version__, torch.cuda.is_available())"
    try:
        told = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            cwd=Path(sys.prefix),
        )
    except (OSError, subprocess.SubprocessError):
        return "(broken)", False
    version, sees_gpu = told.stdout.split()
    return version, sees_gpu == "True"
