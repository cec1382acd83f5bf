"""What somebody wants hosted, read from the command line: a file, a folder or a module, and perhaps a class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Invalid

_ENTRY_FILES = ("model.py", "_wsgi.py")


@dataclass(frozen=True)
class Target:
    """A model's code.

    Attributes:
        folder: Comes first in sys.path of the model's process, and is its working folder.
        file: The Python file; None where `module` names it.
        module: A dotted name; empty where `file` is given.
        class_name: Empty where the code should have only one.
    """

    folder: Path
    file: Path | None = None
    module: str = ""
    class_name: str = ""

    @property
    def name(self) -> str:
        """A short name, by the folder for the usual file names."""
        said = self.module.partition(".")[0] or (self.file.stem if self.file else "")
        if self.file is not None and self.file.name in _ENTRY_FILES:
            said = self.folder.name
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", said).strip("-.") or "model"

    def to_json(self) -> dict[str, str]:
        """Return the form in which the model's process reads it."""
        return {
            "folder": str(self.folder),
            "file": str(self.file or ""),
            "module": self.module,
            "class_name": self.class_name,
        }


def read(text: str, *, working_folder: Path) -> Target:
    """Read `file.py`, `folder`, `package.module`, each perhaps with `:Class`.

    Raises:
        Invalid: There is no such file or folder, the folder has no model.py, or the text is none of these.
    """
    place, class_name = text, ""
    if ":" in text and not (working_folder / text).exists():
        place, _, class_name = text.rpartition(":")
        if not class_name.isidentifier():
            raise Invalid(f"{class_name!r} in {text!r} is no name of a class")
    path = (working_folder / Path(place).expanduser()).resolve()
    if path.is_dir():
        for name in _ENTRY_FILES:
            if (path / name).is_file():
                return Target(path, file=path / name, class_name=class_name)
        raise Invalid(f"{path} has no model.py and no _wsgi.py; name the file that has the model's class")
    if path.is_file():
        if path.suffix != ".py":
            raise Invalid(f"{path} is no Python file")
        return Target(path.parent, file=path, class_name=class_name)
    if all(part.isidentifier() for part in place.split(".")) and not place.endswith(".py"):
        return Target(working_folder.resolve(), module=place, class_name=class_name)
    raise Invalid(
        f"{place!r} is no file, no folder and no module: expected model.py, a folder with one, or package.module"
    )
