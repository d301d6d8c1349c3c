"""A recipe's whole training step as one ONNX graph, and what runs it."""
