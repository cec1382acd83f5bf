"""What a principal may see: a thing in a workspace that it does not belong to is as unknown as one that never was."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import func, select

from backend.accounts.service import Accounts, Principal
from backend.errors import NotFound
from backend.inference.job import PredictionJob
from backend.projects.service import LabelSet, Project
from backend.projects.tasks import Task
from backend.storage.database import Database
from backend.training.run import TrainingRun
from models.labels import Objective

R = TypeVar("R", LabelSet, Task, TrainingRun, PredictionJob)


class Access:
    """Finds things for those who may see them."""

    def __init__(self, database: Database, accounts: Accounts) -> None:
        self._database = database
        self._accounts = accounts

    def workspace_id(self, project: Project) -> str | None:
        """Return whose a project is: its workspace, or the oldest one where nobody said."""
        return project.workspace_id or self._accounts.oldest_workspace_id()

    def sees(self, principal: Principal, project: Project) -> bool:
        """Say whether a principal may see a project, and all that is in it."""
        return self.workspace_id(project) in principal.workspace_ids

    def sees_unowned(self, principal: Principal) -> bool:
        """Say whether a principal may see projects of which nobody said whose they are."""
        return self._accounts.oldest_workspace_id() in principal.workspace_ids

    def num_projects(self, workspace_id: str) -> int:
        """Return how many projects a workspace has."""
        is_its_own = Project.workspace_id == workspace_id
        if workspace_id == self._accounts.oldest_workspace_id():
            is_its_own |= Project.workspace_id.is_(None)
        with self._database.reading() as session:
            return session.scalars(select(func.count()).select_from(Project).where(is_its_own)).one()

    def project(self, principal: Principal, project_id: str) -> Project:
        """Return a project.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        with self._database.reading() as session:
            found = session.get(Project, project_id)
        if found is None or not self.sees(principal, found):
            raise NotFound("There is no such project; GET /projects lists yours.", code="not_found")
        return found

    def numbered(self, principal: Principal, number: int) -> Project:
        """Return a project by its number.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        with self._database.reading() as session:
            project_id = session.scalar(select(Project.id).filter_by(number=number))
        return self.project(principal, project_id or "")

    def label_set(self, principal: Principal, label_set_id: str) -> LabelSet:
        """Return a label set; those that only answer clicks are nobody's business.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        found = self._owned(principal, LabelSet, label_set_id, "label set")
        if found.schema.objective is Objective.CLICK_SEGMENTATION:
            raise unknown("label set")
        return found

    def task(self, principal: Principal, task_id: str) -> Task:
        """Return a task.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        return self._owned(principal, Task, task_id, "image")

    def run(self, principal: Principal, run_id: str) -> TrainingRun:
        """Return a training run.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        return self._owned(principal, TrainingRun, run_id, "training")

    def job(self, principal: Principal, job_id: str) -> PredictionJob:
        """Return a prediction job.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        return self._owned(principal, PredictionJob, job_id, "batch run")

    def _owned(self, principal: Principal, record: type[R], record_id: str, noun: str) -> R:
        query = select(record, Project).join(Project, Project.id == record.project_id)
        with self._database.reading() as session:
            found = session.execute(query.where(record.id == record_id)).one_or_none()
        if found is None or not self.sees(principal, found[1]):
            raise unknown(noun)
        return found[0]


def unknown(noun: str) -> NotFound:
    """Return what is said of a thing that is not there, or is somebody else's: both look the same."""
    return NotFound(f"There is no such {noun}.", code="not_found")
