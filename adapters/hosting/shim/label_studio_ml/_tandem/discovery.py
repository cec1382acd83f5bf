"""Which class a file defines that somebody wants served, and of which generation it is."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from ..api import initialised
from ..helpers import LabelStudioMLBaseHelper
from ..model import LabelStudioMLBase, registered

WSGI = "_wsgi"
_OWN = (LabelStudioMLBase, LabelStudioMLBaseHelper)


class DiscoveryError(Exception):
    """The class cannot be found; the sentence says what to do."""


@dataclass(frozen=True)
class Target:
    """What is to be served.

    Attributes:
        folder: Comes first in sys.path, and is the working folder: models open files by relative paths.
        file: The Python file; empty where `module` says it.
        module: A dotted name; empty where `file` says it.
        class_name: Empty where there should be only one.
    """

    folder: str
    file: str = ""
    module: str = ""
    class_name: str = ""


def find_class(target: Target) -> type[LabelStudioMLBase]:
    """Import a target and return its class.

    Raises:
        DiscoveryError: There is no such class, or several.
        Exception: Whatever importing the code raises.
    """
    module = _load(Path(target.file)) if target.file else importlib.import_module(target.module)
    name = (target.file and Path(target.file).name) or target.module
    if target.class_name:
        return _named(module, target.class_name, name)
    found = _candidates(module)
    if len(found) > 1 and (chosen := _chosen_by_wsgi(target, found)):
        return chosen
    if len(found) > 1:
        names = ", ".join(sorted(one.__name__ for one in found))
        raise DiscoveryError(
            f"{name} has {len(found)} model classes ({names}); say which one: {name}:{found[0].__name__}"
        )
    if not found and (registered("predict") or registered("update")):
        return LabelStudioMLBase
    if not found:
        raise DiscoveryError(f"{name} has no class that inherits LabelStudioMLBase, and no function of predict_fn")
    return found[0]


def generation(model_class: type[LabelStudioMLBase]) -> int:
    """Return 1 or 2: by the arguments of `fit`, then of `__init__`, then by what only the first generation has.

    Models of both generations inherit a class of the same name.
    """
    if issubclass(model_class, LabelStudioMLBaseHelper):
        return 1
    for name, of_first, of_second in (("fit", "workdir", "event"), ("__init__", "train_output", "project_id")):
        function = getattr(model_class, name)
        if function is getattr(LabelStudioMLBase, name):
            continue
        arguments = list(inspect.signature(function).parameters)[1:]
        if of_second in arguments[:1] or (name == "__init__" and of_second in arguments):
            return 2
        first = arguments[0] if arguments else ""
        if of_first in arguments or (name == "fit" and first in ("tasks", "completions", "annotations")):
            return 1
    return 1 if "train_output" in set(_names(model_class)) else 2


def learns(model_class: type[LabelStudioMLBase]) -> bool:
    """Say whether a class, or a registered function, learns from events at all."""
    return model_class.fit is not LabelStudioMLBase.fit or registered("update") is not None


def _load(path: Path) -> ModuleType:
    name = path.stem
    if name.isidentifier() and name not in sys.modules:
        module = importlib.import_module(name)
        if Path(str(module.__file__)).resolve() == path.resolve():
            return module
    spec = importlib.util.spec_from_file_location(f"hosted_{name}" if name in sys.modules else name, path)
    if spec is None or spec.loader is None:
        raise DiscoveryError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _candidates(module: ModuleType) -> list[type[LabelStudioMLBase]]:
    """Return the classes that a module is about: its own rather than imported ones, and none that others inherit."""
    if module.__name__ == WSGI and initialised():
        return initialised()[-1:]
    known = [
        one
        for one in vars(module).values()
        if inspect.isclass(one)
        and issubclass(one, LabelStudioMLBase)
        and not one.__module__.startswith("label_studio_ml")
    ]
    known = list(dict.fromkeys(known))
    own = [one for one in known if one.__module__ == module.__name__] or known
    return [one for one in own if not any(other is not one and issubclass(other, one) for other in own)]


def _chosen_by_wsgi(target: Target, found: list[type[LabelStudioMLBase]]) -> type[LabelStudioMLBase] | None:
    """Return the class that a `_wsgi.py` beside the file serves, if it is one of those found."""
    if not (Path(target.folder) / f"{WSGI}.py").is_file() or (target.file and Path(target.file).stem == WSGI):
        return None
    importlib.import_module(WSGI)
    served = initialised()[-1:]
    return served[0] if served and served[0] in found else None


def _named(module: ModuleType, class_name: str, name: str) -> type[LabelStudioMLBase]:
    found = getattr(module, class_name, None)
    if found is None:
        raise DiscoveryError(f"{name} has no {class_name}")
    if not inspect.isclass(found) or not issubclass(found, LabelStudioMLBase):
        raise DiscoveryError(f"{class_name} in {name} does not inherit LabelStudioMLBase")
    return found


def _names(model_class: type[LabelStudioMLBase]) -> Iterator[str]:
    """Yield the names that the code of a class uses."""
    for one in model_class.__mro__:
        if one in _OWN or not issubclass(one, LabelStudioMLBase):
            continue
        for member in vars(one).values():
            code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
            if isinstance(code, CodeType):
                yield from code.co_names
