"""What every test of a model needs before torch is loaded."""

import os

# As models.catalog.fitter does: else OpenMP's threads spin, and on busy cores a fit of seconds takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
