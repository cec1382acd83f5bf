"""The package that models for Label Studio's ML backend import, provided by Tandem (both generations of its API)."""

package_name = "label-studio-ml"
__version__ = "2.0.1+tandem"
