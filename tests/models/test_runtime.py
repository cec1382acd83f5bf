from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.runtime import Session


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """An ONNX file whose output is twice its input."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, str(tmp_path / "doubling.onnx"))
    return tmp_path / "doubling.onnx"


def test_a_session_computes_batches_of_any_size(doubling: Path) -> None:
    session = Session(doubling, device="cpu")

    for size in (1, 3):
        (result,) = session.run({"x": np.arange(size, dtype=np.float32)})
        assert result.tolist() == [2.0 * n for n in range(size)]


def test_a_session_answers_several_threads_at_once(doubling: Path) -> None:
    session = Session(doubling, device="cpu")

    def double(value: int) -> float:
        return float(session.run({"x": np.array([value], dtype=np.float32)})[0][0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(double, range(100))) == [2.0 * value for value in range(100)]


def test_a_session_says_how_large_it_is_and_where_it_computes(doubling: Path) -> None:
    session = Session(doubling, device="cpu")

    assert session.num_bytes == doubling.stat().st_size
    assert session.device == "cpu"


def test_the_only_input_may_have_had_another_name_in_an_earlier_release(doubling: Path) -> None:
    (result,) = Session(doubling, device="cpu").run({"images": np.ones(2, dtype=np.float32)})

    assert result.tolist() == [2.0, 2.0]
