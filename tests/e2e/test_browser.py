"""The journey as people click it, in a real browser. It also takes the pictures of the documentation."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Trained
from e2e.pictures import digits, label_config, labels_of
from e2e.servers import LabelStudio, Project, Tandem, needs
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MAX_IMAGE_BYTES = 200_000
WIDTH_PX, HEIGHT_PX = 1280, 800
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
PICTURES = digits(4)


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
        return self.wait_for(
            lambda: next((e for e in self._driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None)
        )

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

    def wait_for(self, ask: Callable[[], Any], otherwise: str = "") -> Any:
        """Ask until the answer counts as true; return it."""
        return WebDriverWait(self._driver, 60, 0.2).until(lambda _: ask(), otherwise)

    def take_picture(self, name: str) -> None:
        """Keep what is shown for the documentation, where that was asked for (TANDEM_UPDATE_SCREENSHOTS)."""
        if not os.environ.get("TANDEM_UPDATE_SCREENSHOTS"):
            return
        content = self._driver.get_screenshot_as_png()
        if len(content) > MAX_IMAGE_BYTES:  # a photo is shown
            content = _with_fewer_colours(content)
        assert len(content) <= MAX_IMAGE_BYTES
        (IMAGES / f"{name}.png").write_bytes(content)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a profile of its own."""
    needs("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    screen = {"width": WIDTH_PX, "height": HEIGHT_PX, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome, label_studio: LabelStudio) -> Browser:
    """The browser of that Label Studio's administrator."""
    opened = Browser(driver)
    opened.log_in(label_studio)
    return opened


@pytest.fixture
def project(label_studio: LabelStudio) -> Project:
    """A project that is not connected yet."""
    made = label_studio.create_project("Handwritten digits", label_config(labels_of(PICTURES)))
    made.upload(PICTURES)
    return made


def test_the_form_connects_a_model_and_a_test_request_is_answered(
    browser: Browser, project: Project, tandem: Tandem
) -> None:
    browser.open_model_page(project)
    fill_in_form(browser, tandem, password=tandem.PASSWORD)
    browser.take_picture("connect")
    browser.find("button[aria-label='Save machine learning form']").click()
    browser.await_text("Connected")
    browser.take_picture("connected")

    browser.find("button[aria-label='Machine learning model options']").click()
    browser.click_on("Send Test Request")
    browser.click_on("Send Request")
    browser.await_text('"model_version": "untrained"')
    assert tandem.project(project.uid)["state"] == "CO"


def test_a_wrong_password_is_said_in_the_form(browser: Browser, project: Project, tandem: Tandem) -> None:
    browser.open_model_page(project)
    fill_in_form(browser, tandem, password="wrong")

    browser.find("button[aria-label='Save machine learning form']").click()

    browser.await_text("authentication parameters were either not provided or are incorrect")


def test_a_task_is_opened_with_its_prediction(driver: webdriver.Chrome, trash_project: Trained) -> None:
    project, version = trash_project.project, trash_project.version
    said, scores = project.predicted(version), project.scores(version)
    right = [picture for picture in trash_project.others if said[picture.name] == picture.label]
    surest = max(right, key=lambda picture: scores[picture.name])
    browser = Browser(driver)
    browser.log_in(project.label_studio)

    browser.open_task(project, surest.name)

    browser.await_text(f"...{version[-6:]}")
    browser.wait_for(lambda: browser.is_checked(surest.label), f"{surest.label} is not ticked")
    assert not any(browser.is_checked(label) for label in labels_of(trash_project.others) if label != surest.label)
    browser.take_picture("prediction")


def fill_in_form(browser: Browser, tandem: Tandem, *, password: str) -> None:
    browser.click_on("Connect Model")
    browser.fill("title", "Tandem")
    browser.fill("url", tandem.url)
    browser.find("button[data-name=auth_method]").click()
    browser.click_on("Basic Authentication")
    browser.fill("basic_auth_user", tandem.USER)
    browser.fill("basic_auth_pass", password)


def _with_fewer_colours(png: bytes) -> bytes:
    shown = Image.open(io.BytesIO(png)).convert("RGB")
    palette = shown.quantize(128, Image.Quantize.FASTOCTREE)  # unlike median cut, it keeps the colours of small things
    file = io.BytesIO()
    shown.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG", optimize=True)
    return file.getvalue()
