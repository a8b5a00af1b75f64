"""Experiments that answer, with measured numbers beside published theory, why deep learning is built as it is."""
