import subprocess
import sys

import pytest

from models import catalog
from models.labels import Objective


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_has_a_family(objective: Objective) -> None:
    family = catalog.find_family(objective)

    assert family is not None
    assert objective in family.objectives


@pytest.mark.parametrize("family", catalog.FAMILIES, ids=lambda family: family.name)
def test_both_halves_of_every_family_can_be_imported(family: catalog.Family) -> None:
    assert callable(catalog.fitter(family.name))
    assert callable(catalog.predictor_loader(family.name))


def test_an_unknown_family_is_named_in_the_error() -> None:
    with pytest.raises(KeyError, match="telepathy"):
        catalog.get_family("telepathy")


def test_reading_the_catalogue_and_the_serving_half_imports_no_torch() -> None:
    code = (
        "import sys; from models import catalog; [catalog.predictor_loader(f.name) for f in catalog.FAMILIES];"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
