import subprocess
import sys

import pytest

from models import catalog
from models.labels import LabelSchema, Medium, Objective

ON_IMAGES = set(Objective) - {Objective.SPANS}
ON_TEXTS = {Objective.CLASSIFICATION, Objective.MULTI_LABEL, Objective.REGRESSION, Objective.SPANS}


@pytest.mark.parametrize(
    ("objective", "medium"),
    [*((each, Medium.IMAGE) for each in sorted(ON_IMAGES)), *((each, Medium.TEXT) for each in sorted(ON_TEXTS))],
)
def test_what_can_be_asked_has_a_family(objective: Objective, medium: Medium) -> None:
    family = catalog.find_family(LabelSchema(objective, (), medium))

    assert family is not None
    assert (objective in family.objectives, family.medium) == (True, medium)


@pytest.mark.parametrize("family", catalog.FAMILIES, ids=lambda family: family.name)
def test_both_halves_of_every_family_can_be_imported(family: catalog.Family) -> None:
    assert callable(catalog.predictor_loader(family.name))
    if family.objectives:
        assert callable(catalog.fitter(family.name))


def test_an_unknown_family_is_named_in_the_error() -> None:
    with pytest.raises(KeyError, match="telepathy"):
        catalog.get_family("telepathy")


def test_reading_the_catalogue_and_the_serving_half_imports_no_torch() -> None:
    code = (
        "import sys; from models import catalog; [catalog.predictor_loader(f.name) for f in catalog.FAMILIES];"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
