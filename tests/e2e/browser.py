"""A real browser under test: Label Studio as its users see and click it. It also takes the pictures of the docs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from e2e.servers import LabelStudio, Project
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).parents[2] / "docs" / "images"
TAKES_PICTURES = bool(os.environ.get("TANDEM_UPDATE_SCREENSHOTS"))
MAX_IMAGE_BYTES = 200_000
WIDTH_PX, HEIGHT_PX = 1360, 800
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    f"--window-size={WIDTH_PX},{HEIGHT_PX}",
)
_CANVAS = ".konvajs-content"
_DESCRIBE = "(r) => ({id: r.cleanId, type: r.type, label: r.labels[0] ?? null})"


class Browser:
    """A browser in which the administrator of a Label Studio has logged in."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        self._url = ""

    def log_in(self, label_studio: LabelStudio) -> None:
        self._driver.delete_all_cookies()
        self._url = label_studio.url
        self.open("/user/login/")
        self.fill("email", label_studio.username)
        self.fill("password", label_studio.password)
        self.find("button[type=submit]").click()
        self.wait_for(lambda: "/user/login" not in self._driver.current_url)

    def open(self, path: str) -> None:
        self._driver.get(self._url + path)

    def open_model_page(self, project: Project) -> None:
        self.open(f"/projects/{project.id}/settings/ml")

    def open_task(self, project: Project, picture_name: str) -> None:
        self.open(f"/projects/{project.id}/data?task={project.task_ids[picture_name]}")

    def find(self, selector: str) -> WebElement:
        """Return the first element, as soon as it is shown."""
        found: WebElement = self.wait_for(
            lambda: next((e for e in self._driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None)
        )
        return found

    def fill(self, name: str, text: str) -> None:
        self.find(f"input[name={name}]").send_keys(text)

    def click_on(self, words: str) -> None:
        """Click on what carries exactly these words."""
        path = f"//*[normalize-space(text())='{words}']"
        self.wait_for(lambda: next((e for e in self._driver.find_elements(By.XPATH, path) if e.is_displayed()), None))
        self._driver.find_elements(By.XPATH, path)[-1].click()

    def await_text(self, words: str) -> None:
        self.wait_for(lambda: words in self.text, f"{words!r} is not shown")

    @property
    def text(self) -> str:
        return str(self._driver.execute_script("return document.body.innerText"))

    def is_checked(self, label: str) -> bool:
        """Say whether the choice with this label is ticked."""
        script = """
            const boxes = [...document.querySelectorAll('.htx-choice, label')].filter(
              (e) => e.innerText.startsWith(arguments[0]) && e.querySelector('input'));
            return boxes.length > 0 && boxes[0].querySelector('input').checked"""
        return bool(self._driver.execute_script(script, label))

    def hover(self, selector: str) -> None:
        ActionChains(self._driver).move_to_element(self.find(selector)).perform()

    def press(self, keys: str) -> None:
        ActionChains(self._driver).send_keys(keys).perform()

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page; return what it returns."""
        return self._driver.execute_script(script, *arguments)

    def wait_for(self, ask: Callable[[], Any], otherwise: str = "") -> Any:
        """Ask until the answer counts as true; return it."""
        redrawn = [StaleElementReferenceException]
        return WebDriverWait(self._driver, 60, 0.2, ignored_exceptions=redrawn).until(lambda _: ask(), otherwise)

    def take_picture(self, name: str) -> None:
        """Keep what is shown for the documentation, where that was asked for."""
        if not TAKES_PICTURES:
            return
        content = self._driver.get_screenshot_as_png()
        if len(content) > MAX_IMAGE_BYTES:  # a photo is shown
            content = _with_fewer_colours(content)
        assert len(content) <= MAX_IMAGE_BYTES
        (IMAGES / f"{name}.png").write_bytes(content)


class Editor(Browser):
    """The editor of image regions, with one task open."""

    def open_task(self, project: Project, picture_name: str) -> None:
        """Open a task and wait until its image is shown."""
        super().open_task(project, picture_name)
        ready = f"return window.Htx?.task?.id == {project.task_ids[picture_name]} && !!Htx.annotationStore.selected"
        self.wait_for(lambda: self.run(ready), "the editor did not open the task")
        self.find(_CANVAS)

    @property
    def regions(self) -> list[dict[str, Any]]:
        """What the annotation that is open holds: type and label of each region."""
        return list(self.run(f"return Htx.annotationStore.selected.regions.map({_DESCRIBE})"))

    @property
    def suggestions(self) -> list[dict[str, Any]]:
        """What was suggested and is neither accepted nor rejected."""
        return list(self.run(f"return [...Htx.annotationStore.selected.suggestions.values()].map({_DESCRIBE})"))

    def listed(self) -> list[str]:
        """Return the labels in the list of regions, from above; only what is scrolled to is in the page."""
        script = """
            const found = new Map();
            const list = document.querySelector('.lsf-outliner-item')?.closest('.lsf-tree-list-holder');
            for (let top = 0; list && top <= list.scrollHeight; top += list.clientHeight / 2) {
              list.scrollTop = top;
              await new Promise((resolve) => setTimeout(resolve, 100));
              for (const e of document.querySelectorAll('.lsf-outliner-item'))
                found.set(Number(e.querySelector('.lsf-outliner-item__index').innerText),
                          e.querySelector('.lsf-outliner-item__title').innerText.trim());
            }
            if (list) list.scrollTop = 0;
            return [...found.keys()].sort((a, b) => a - b).map((number) => found.get(number))"""
        return list(self.run(script))

    def painted(self) -> np.ndarray[Any, Any]:
        """Return what the regions paint over the image: booleans, one for each pixel of the screen."""
        shown = self._canvas()
        self.find("[aria-label='Hide all regions']").click()
        hidden = self._canvas()
        self.find("[aria-label='Show all regions']").click()
        self.hover(".lsf-tabs__contents")  # else the button's hint stays
        return np.asarray(np.abs(shown.astype(int) - hidden).max(-1) > 16)

    def prompt_with(self, tool: str, *, hotkey: str) -> None:
        """Turn auto-annotation on, take a tool that asks the model, and choose a label by its hotkey."""
        if not self.run("return Htx.autoAnnotation"):
            self.click_on("Auto-Annotation")
        self.hover(".lsf-tool_smart:not([aria-label])")
        self.find(f".lsf-tool_smart[aria-label={tool}]").click()
        self.press(hotkey)

    def click_at(self, place: tuple[float, float]) -> None:
        """Click on the image; the place is a fraction of it."""
        canvas, actions = self.find(_CANVAS), ActionChains(self._driver)
        actions.move_to_element_with_offset(canvas, *self._offset(place)).click().perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw from one place on the image to another."""
        canvas, actions = self.find(_CANVAS), ActionChains(self._driver)
        actions.move_to_element_with_offset(canvas, *self._offset(start)).click_and_hold()
        actions.move_to_element_with_offset(canvas, *self._offset(end)).release().perform()

    def await_regions(self, number: int) -> None:
        """Wait until the annotation that is open holds so many."""
        self.wait_for(lambda: len(self.regions) == number, f"there are not {number} regions")

    def await_suggestion(self) -> None:
        self.wait_for(lambda: self.suggestions, "nothing was suggested")

    def accept(self) -> None:
        """Accept what is suggested."""
        self._settle("accept")

    def reject(self) -> None:
        """Reject what is suggested."""
        self._settle("reject")

    def _settle(self, action: str) -> None:
        self.find(f"[data-testid=bottombar-{action}-suggestions-button]").click()
        self.wait_for(lambda: not self.suggestions, f"suggestions are still shown after {action}")

    def _offset(self, place: tuple[float, float]) -> tuple[int, int]:
        size = self.find(_CANVAS).size  # offsets count from the middle
        return round((place[0] - 0.5) * size["width"]), round((place[1] - 0.5) * size["height"])

    def _canvas(self) -> np.ndarray[Any, Any]:
        return np.asarray(Image.open(io.BytesIO(self.find(_CANVAS).screenshot_as_png)).convert("RGB"))


def _with_fewer_colours(png: bytes) -> bytes:
    shown, content = Image.open(io.BytesIO(png)).convert("RGB"), png
    for number in (128, 96, 64):
        palette = shown.quantize(number, Image.Quantize.FASTOCTREE)  # unlike median cut, it keeps small things' colours
        file = io.BytesIO()
        shown.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG", optimize=True)
        content = file.getvalue()
        if len(content) <= MAX_IMAGE_BYTES:
            break
    return content
