"""Runs in Triton's Python backend, in place of the onnxruntime backend.

The wheel that brings Triton's server has no onnxruntime backend. This file stands in
for it beside `model.onnx`; names, types, shapes, batching and warm-up are those of the
exported `config.pbtxt`.
"""

import os

import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    """What the backend asks for by this name."""

    def initialize(self, args):
        folder = os.path.join(args["model_repository"], args["model_version"])
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        # One call is one batch of Triton's: for the test to read in the log.
        shapes = []
        responses = []
        for request in requests:
            image = backend.get_input_tensor_by_name(request, "image").as_numpy()
            shapes.append(image.shape)
            (sr,) = self.session.run(["sr"], {"image": image})
            tensor = backend.Tensor("sr", sr)
            responses.append(backend.InferenceResponse([tensor]))
        print("batch of", shapes, flush=True)
        return responses
