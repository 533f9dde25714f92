"""The flags of `python -m pdm_tf.benchmark inference`."""

from dataclasses import dataclass

from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.cli.flags_benchmark_measuring import GEMM_SIZE, MEASURING, Measuring
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class InferenceBenchmarkConfig(Measuring):
    """Which network is run on what, against what, and how often.

    Raises:
      UserError: no network or two, or a number is out of range.
    """

    model: str = ""
    sr_net: str = ""
    sr_arg: tuple[str, ...] = ()
    tile: int = 128
    batch_size: int = 1
    bfloat16: bool = False
    gemm_size: int = 2048

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.sr_net):
            raise UserError(
                "Either --model or --sr_net must be given. Received: "
                f"--model={self.model!r}, --sr_net={self.sr_net!r}."
            )
        if self.sr_arg and not self.sr_net:
            raise UserError(
                "--sr_arg belongs to --sr_net; a --model has its settings in its file. "
                f"Received: {', '.join(self.sr_arg)}."
            )
        super().__post_init__()
        self.require_positive("tile", "batch_size", "gemm_size")


_SECTIONS = {
    "Network": {
        "model": "The network to run: an ONNX file, a bundle, or a run folder. An ONNX "
        "file without the entries that `python -m export` writes is measured in "
        "onnxruntime alone.",
        "sr_net": "Instead of --model: an SR network by name, e.g. edsr, rrdbnet, with "
        "random weights; speed does not depend on them.",
        "sr_arg": "A setting of --sr_net, e.g. num_blocks=16.",
        "seed": "Decides the random weights and the image.",
    },
    "Work": {
        "tile": "Side of the LR image, in pixels.",
        "batch_size": "Images in one call.",
        "compare": "`torch`: also the same network in PyTorch, eager, in its default "
        "layout and in channels_last, with the same weights; needs pip install "
        '-e ".[benchmark]". Ratios are to the faster of the two.',
        "bfloat16": "Also TensorFlow in mixed_bfloat16, and PyTorch under bfloat16 "
        "autocast; fast on processors with AMX or AVX-512 BF16 units only.",
    },
    "Measuring": {**MEASURING, "gemm_size": GEMM_SIZE},
}

SPEC = ProgramSpec(
    module="pdm_tf.benchmark inference",
    config=InferenceBenchmarkConfig,
    intro="Measures one network on one LR image, on the CPU: in onnxruntime, in "
    "TensorFlow, and with --compare=torch in PyTorch, all with the same weights; their "
    "outputs are compared, so that equal work is timed. Prints milliseconds, GFLOP/s, "
    "the share of what matrix products reach, ratios to PyTorch, and peak memory.",
    examples=(
        "python -m pdm_tf.benchmark inference --sr_net=edsr --compare=torch",
        "python -m pdm_tf.benchmark inference --model=out/model.onnx --compare=torch "
        "--output=speed.json",
    ),
    sections=_SECTIONS,
)
