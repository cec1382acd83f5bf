"""Data sets as they usually lie on disk, by format: read as what an import takes, written from what an export says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import ijson

from backend.errors import Invalid

FOLDERS = frozenset({"yolo", "voc"})
"""Those that are a folder with a file for each image."""
_CHUNK_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_CLASSES_YAML = ("data.yaml", "data.yml", "dataset.yaml")
_CLASSES_TXT = ("classes.txt", "obj.names")
_MAX_NAME_BYTES = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_NOT_LABELS = frozenset({*_CLASSES_TXT, "train.txt", "val.txt", "valid.txt", "test.txt"})


def write_body(path: Path, file: IO[bytes], options: Mapping[str, Any]) -> None:
    """Write the body of an import, a part at a time.

    Args:
        path: A file; for yolo and voc a folder, or one file of it.
        file: Gets the body.
        options: What else the body says, `format` among it.

    Raises:
        Invalid: There is no data set of this format at `path`; the message says what was expected.
    """
    file.write(json.dumps(options)[:-1].encode() + b',"data":')
    for part in _READERS.get(options["format"], _json)(path):
        file.write(part)
    file.write(b"}")


def unpack(exported: IO[bytes], folder: Path, format: str) -> int:
    """Write the files of an export in yolo or voc into a folder; return how many images they are about."""
    names: set[str] = set()
    if format == "yolo":
        folder.mkdir(parents=True, exist_ok=True)
        classes = [" ".join(str(name).split()) for name in ijson.items(exported, "classes.item")]
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        exported.seek(0)
    inside = folder / ("labels" if format == "yolo" else "Annotations")
    inside.mkdir(parents=True, exist_ok=True)
    for number, (said, text) in enumerate(ijson.kvitems(exported, "files")):
        name = safe_name(said, f"{number}.txt")
        if name.casefold() in names:
            name = f"{number}-{name}"
        names.add(name.casefold())
        (inside / name).write_text(text, encoding="utf-8")
    return len(names)


def safe_name(said: str, instead: str) -> str:
    r"""Return a file name that stays in its folder on any system; `instead` where nothing is left.

    >>> safe_name("../../etc/passwd", "x"), safe_name("c:\\a\\.b?.jpg", "x"), safe_name("..", "x"), safe_name("é", "x")
    ('passwd', '_b_.jpg', 'x', 'é')
    """
    name = _FORBIDDEN.sub("_", said.replace("\\", "/").rpartition("/")[2]).strip(" ").rstrip(".")
    if not name or set(name) <= {"."}:
        return instead
    if name[0] in ".~" or _RESERVED.match(name):
        name = f"_{name.lstrip('.~')}"
    stem, dot, ending = name.rpartition(".")
    if len(name.encode()) > _MAX_NAME_BYTES:
        kept = (stem if dot else name).encode()[: _MAX_NAME_BYTES - len(ending.encode()) - 1]
        name = kept.decode(errors="ignore") + (dot + ending if dot else "")
    return name


def _json(path: Path) -> Iterator[bytes]:
    found = _only_json(path) if path.is_dir() else path
    with found.open("rb") as file:
        _skip_bom(file)
        start = file.tell()
        try:
            for _ in ijson.basic_parse(file, use_float=True):
                pass
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise _wrong(f"{found} is not JSON: {str(error).strip().splitlines()[0]}.") from error
        file.seek(start)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _only_json(folder: Path) -> Path:
    found = sorted(folder.rglob("*.json"))
    if len(found) != 1:
        raise _wrong(f"{folder} holds {len(found)} JSON files; name the one with the annotations.")
    return found[0]


def _csv(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        raise _wrong(f"{path} is a folder; csv is one file with the columns filename,label.")
    yield b'"'
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield json.dumps(chunk)[1:-1].encode()
    except UnicodeDecodeError as error:
        raise _wrong(f"{path} is not UTF-8; save it as CSV UTF-8.") from error
    yield b'"'


def _voc(path: Path) -> Iterator[bytes]:
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    if not files:
        raise _wrong(f"{path} holds no XML file; voc is a folder with one for each image.")
    yield b'{"files":'
    yield from _texts(path if path.is_dir() else path.parent, files)
    yield b"}"


def _yolo(path: Path) -> Iterator[bytes]:
    folder = path if path.is_dir() else path.parent
    classes = _classes(folder, path)
    inside = folder / "labels" if (folder / "labels").is_dir() else folder
    files = [found for found in sorted(inside.rglob("*.txt")) if found.name not in _NOT_LABELS]
    if not files:
        raise _wrong(f"{inside} holds no text file; yolo is a folder with one for each image.")
    yield b'{"classes":' + json.dumps(classes).encode() + b',"files":'
    yield from _texts(inside, files)
    yield b"}"


def _classes(folder: Path, named: Path) -> list[str]:
    for found in (named, *(folder / name for name in (*_CLASSES_YAML, *_CLASSES_TXT))):
        if not found.is_file():
            continue
        if found.suffix in (".yaml", ".yml"):
            return _classes_of_yaml(found)
        if found.name in _CLASSES_TXT:
            return [line.strip() for line in _text(found).splitlines() if line.strip()]
    raise _wrong(f"{folder} has neither {' nor '.join((_CLASSES_YAML[0], _CLASSES_TXT[0]))}, which names the classes.")


def _classes_of_yaml(path: Path) -> list[str]:
    import yaml

    try:
        said = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise _wrong(f"{path} is not YAML.") from error
    match said:
        case {"names": list(names)}:
            return [str(name) for name in names]
        case {"names": dict(names)} if sorted(names) == list(range(len(names))):
            return [str(names[number]) for number in range(len(names))]
    raise _wrong(f"{path} has no list `names`, which names the classes.")


def _texts(folder: Path, files: Iterable[Path]) -> Iterator[bytes]:
    opening = b"{"
    for file in files:
        name, text = file.relative_to(folder).as_posix(), _text(file)
        yield opening + json.dumps(name).encode() + b":" + json.dumps(text).encode()
        opening = b","
    yield b"}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"{path} is not UTF-8.") from error


def _skip_bom(file: IO[bytes]) -> None:
    if file.read(len(_BOM)) != _BOM:
        file.seek(0)


def _wrong(why: str) -> Invalid:
    return Invalid(why, code="import_invalid")


_READERS: Mapping[str, Callable[[Path], Iterator[bytes]]] = {"csv": _csv, "voc": _voc, "yolo": _yolo}
"""All other formats are one JSON file."""
