import json

import pytest

from models.regions import Choice, from_json, to_json


def test_regions_survive_their_stored_form() -> None:
    regions = (Choice("cat", 0.25), Choice("Löwe"))

    assert from_json(json.loads(json.dumps(to_json(regions)))) == regions


def test_a_kind_of_a_later_release_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="hologram"):
        from_json([{"kind": "hologram"}])
