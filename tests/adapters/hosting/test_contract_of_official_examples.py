"""The official examples, unmodified, from a checkout of label-studio-ml-backend; C-127.

TANDEM_OFFICIAL_EXAMPLES names the checkout. What an example imports and is not installed stays a reason to skip it;
TANDEM_OFFICIAL_PACKAGES may name a folder with such packages, or with stand-ins for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hosted_models import CONFIG, UID

from adapters.hosting import target
from adapters.hosting.host import Host
from adapters.hosting.process import SHIM, ModelFailed, Program

CHECKOUT = os.environ.get("TANDEM_OFFICIAL_EXAMPLES", "")
PACKAGES = os.environ.get("TANDEM_OFFICIAL_PACKAGES", "")
EXAMPLES = Path(CHECKOUT) / "label_studio_ml" / "examples"
IMAGE = '<View><Image name="i" value="$image"/>{}</View>'
CONFIGS = {
    "interactive_substring_matching": CONFIG,
    "llm_interactive": CONFIG,
    "segment_anything_2_image": IMAGE.format('<BrushLabels name="b" toName="i"><Label value="Car"/></BrushLabels>'),
    "sklearn_text_classifier": CONFIG,
    "yolo": IMAGE.format('<RectangleLabels name="b" toName="i"><Label value="car"/></RectangleLabels>'),
}

pytestmark = pytest.mark.skipif(not CHECKOUT, reason="TANDEM_OFFICIAL_EXAMPLES names no checkout")


def environment(folder: Path) -> dict[str, str]:
    paths = [str(SHIM), *filter(None, [PACKAGES])]
    added = {"PYTHONPATH": os.pathsep.join(paths), "MODEL_DIR": str(folder), "DEVICE": "cpu", "OPENAI_API_KEY": "none"}
    return {**os.environ, **added}


@pytest.fixture
def hosted(tmp_path: Path) -> Any:
    hosts = []

    def host(folder: Path) -> Host:
        program = Program(
            target.read(str(folder), working_folder=tmp_path), tmp_path, environment=environment(tmp_path)
        )
        made = Host(program)
        hosts.append(made)
        made.start()
        try:
            made.first_load.result(100)
        except ModelFailed as error:
            if error.message.startswith("ModuleNotFoundError"):
                pytest.skip(error.message)
            raise
        return made

    yield host
    for made in hosts:
        made.close()


@pytest.mark.parametrize("name", CONFIGS)
def test_an_example_is_served(name: str, hosted: Callable[[Path], Host], ask: Callable[..., FlaskClient]) -> None:
    client = ask(hosted(EXAMPLES / name))

    answer = client.post("/setup", json={"project": UID, "schema": CONFIGS[name]})

    assert answer.status_code == 200, answer.get_json()
    assert answer.get_json()["model_version"]


def test_the_template_predicts_and_learns(
    hosted: Callable[[Path], Host], ask: Callable[..., FlaskClient], predict: Any, event: Any, ended: Any
) -> None:
    """Its test_api.py expects [{}] for an empty answer, which the official package does not give either."""
    client = ask(hosted(EXAMPLES.parent / "default_configs"))

    before = predict(client, "a", "b").get_json()
    ended(client, client.post("/webhook", json=event("ANNOTATION_CREATED", annotation={"id": 1})))

    assert before == {"results": [{"result": [], "score": 0.0, "model_version": "0.0.1"}] * 2}
    assert predict(client, "a").get_json()["results"][0]["model_version"] == "my_new_model_version"


@pytest.mark.parametrize("name", ["interactive_substring_matching", "llm_interactive", "sklearn_text_classifier"])
def test_the_own_tests_of_an_example_pass(name: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_api.py")

    said = subprocess.run(
        command,
        cwd=EXAMPLES / name,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    if "ModuleNotFoundError" in said.stdout:
        pytest.skip(next(line for line in said.stdout.splitlines() if "ModuleNotFoundError" in line))
    assert said.returncode == 0, said.stdout
