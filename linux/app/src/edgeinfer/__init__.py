"""edgeinfer: run an ONNX model on an input, write the results as msgpack and as an HTML report."""
