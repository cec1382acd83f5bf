"""What a terminal shows of things that go on; see test_training and test_batches for waiting itself."""

from __future__ import annotations

import pytest

from adapters.cli.bars import transfer_bar
from adapters.cli.waiting import Progress, display

RUNNING = Progress("running", 50, "epoch 1/2", eta_s=30)


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("on_a_terminal")
def test_a_terminal_shows_a_bar_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with display("trn_1", is_silent=False) as shown:
        shown.show(RUNNING)

    out, err = capsys.readouterr()
    assert out == ""
    assert all(part in err for part in ("trn_1 running", "50 %", "epoch 1/2", "about 30 s left", "━"))


def test_elsewhere_a_line_is_printed_when_something_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with display("trn_1", is_silent=False) as shown:
        shown.show(RUNNING)
        shown.show(RUNNING)

    assert capsys.readouterr().err == "running     50 %  epoch 1/2  about 30 s left\n"


@pytest.mark.usefixtures("on_a_terminal")
def test_programs_see_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with display("trn_1", is_silent=True) as shown, transfer_bar("Sending", is_silent=True) as bar:
        shown.show(RUNNING)
        bar.told(1, 2)
        bar.says("1/2")

    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("on_a_terminal")
def test_bytes_on_their_way_are_shown_with_their_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with transfer_bar("Uploading", is_silent=False) as bar:
        bar.says("20/100 images")
        bar.told(500_000, 1_000_000)

    shown = capsys.readouterr().err
    assert all(part in shown for part in ("Uploading", "20/100 images", "0.5/1.0 MB"))


def test_bytes_on_their_way_are_not_shown_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with transfer_bar("Uploading", is_silent=False) as bar:
        bar.told(500_000, 1_000_000)

    assert capsys.readouterr() == ("", "")
