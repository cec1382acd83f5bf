"""ONNX models that were trained elsewhere: what they take, what they answer, and how they become a checkpoint."""
