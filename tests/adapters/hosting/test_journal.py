"""What a host remembers."""

from __future__ import annotations

from pathlib import Path

from adapters.hosting.journal import JobState, Journal

UID = "7.1795203195"


def test_a_job_goes_from_queued_to_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    job = journal.add_job(UID, "START_TRAINING")
    assert [waiting.state for waiting in journal.unfinished(UID)] == [JobState.QUEUED]

    journal.start_job(job.id)
    journal.end_job(job.id, result={"f1": 0.5})

    found = Journal(tmp_path).job(job.id)
    assert found is not None
    assert (found.state, found.result, found.error) == (JobState.FINISHED, {"f1": 0.5}, None)
    assert found.created_at <= str(found.started_at) <= str(found.ended_at)
    assert journal.unfinished(UID) == []


def test_the_last_failure_counts_until_a_later_job_succeeds(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.end_job(journal.add_job(UID, "START_TRAINING").id, error="no labels")
    failure = journal.last_failure()
    assert failure is not None
    assert failure.error == "no labels"

    journal.end_job(journal.add_job(UID, "START_TRAINING").id)

    assert journal.last_failure() is None


def test_a_project_stays_trusted_whoever_sets_it_up_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note_project(UID, "<View/>", is_trusted=True)

    journal.note_project(UID, "<View><Text/></View>", is_trusted=False)

    assert journal.is_trusted(UID)
    assert journal.document(UID) == "<View><Text/></View>"
    assert not journal.is_trusted("7.1")
    assert journal.document("7.1") is None
