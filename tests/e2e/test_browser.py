"""The journey as people click it, in a real browser."""

from __future__ import annotations

import pytest
from e2e.browser import Browser
from e2e.conftest import Trained
from e2e.pictures import digits, label_config, labels_of
from e2e.servers import LabelStudio, Project, Tandem
from selenium import webdriver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = digits(4)


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
