"""Which benchmarks are there? Runs those named on the command line, or all, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "startup",
    "predict_throughput",
    "first_prediction",
    "swaps",
    "coalescing",
    "latency_under_training",
    "click_latency",
    "agent_api",
    "tool_calls",
    "training_input",
    "image_upload",
    "image_lists",
    "annotation_import",
    "quality_image_classification",
    "click_quality",
    "quality_text",
    "quality_segmentation",
    "quality_detection",
    "quality_key_points",
)


def main() -> int:
    """Run benchmarks; a goal that is missed is shown, and is no failure."""
    names = sys.argv[1:] or BENCHMARKS
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    codes = [subprocess.run((sys.executable, "-m", f"bench.{name}"), check=False).returncode for name in names]  # noqa: S603
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main())
