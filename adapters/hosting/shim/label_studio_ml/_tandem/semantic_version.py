"""A version such as "1.2.3": a text that JSON can hold, with numbers that can be raised."""

from __future__ import annotations

import re

# semver.org, items 2, 9 and 10
_PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")


class Version(str):
    """A semantic version; immutable, like every text.

    >>> str(Version("0.0.1").bump_minor()), Version("0.10.0") > Version("0.9.0")
    ('0.1.0', True)

    Raises:
        ValueError: The text is no semantic version.
    """

    major: int
    minor: int
    patch: int
    prerelease: str | None
    build: str | None

    def __new__(cls, text: str) -> Version:
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no semantic version, such as 1.2.3")
        made = super().__new__(cls, text)
        made.major, made.minor, made.patch = (int(number) for number in found.groups()[:3])
        made.prerelease, made.build = found[4], found[5]
        return made

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a text.

        Raises:
            ValueError: It is no semantic version.
        """
        return cls(text)

    def bump_major(self) -> Version:
        """Return the next major version."""
        return Version(f"{self.major + 1}.0.0")

    def bump_minor(self) -> Version:
        """Return the next minor version."""
        return Version(f"{self.major}.{self.minor + 1}.0")

    def bump_patch(self) -> Version:
        """Return the next patch version."""
        return Version(f"{self.major}.{self.minor}.{self.patch + 1}")

    def __lt__(self, other: str) -> bool:
        return _order(self) < _order(other) if isinstance(other, Version) else super().__lt__(other)

    def __le__(self, other: str) -> bool:
        return _order(self) <= _order(other) if isinstance(other, Version) else super().__le__(other)

    def __gt__(self, other: str) -> bool:
        return _order(self) > _order(other) if isinstance(other, Version) else super().__gt__(other)

    def __ge__(self, other: str) -> bool:
        return _order(self) >= _order(other) if isinstance(other, Version) else super().__ge__(other)


def _order(version: Version) -> tuple[int, int, int, bool, str]:
    return version.major, version.minor, version.patch, version.prerelease is None, version.prerelease or ""
