"""The flags of `python -m pdm_tf.upscale`, and its own exit code."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given
from pdm_tf.core.errors import UserError

# Besides those of `program`: everything was done but for the files that were named.
SOME_FAILED = 1
MAX_OUTSCALE = 64.0


@dataclass(frozen=True)
class UpscaleConfig:
    """What `upscale` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "An ONNX file of a super-resolution network, or the folder that "
        "`python -m export` wrote, of which model.onnx is taken. Required.",
        section="What",
    )
    input: str = flag(
        "",
        "A photograph (PNG, JPEG, WebP, TIFF, BMP, still GIF, by content), or "
        "a folder of them, searched recursively; hidden files are left out. Required.",
    )
    output: str = flag(
        "",
        "Where the result goes. For one photograph a file name, whose suffix "
        "gives the format, or a folder; for a folder a folder, in which its tree is "
        "built again. Made if missing. Required.",
    )
    format: Literal["same", "png", "jpeg", "webp", "tiff"] = flag(
        "same",
        "Of the files in the output folder. `same`: as the source (PNG for "
        "BMP and GIF). PNG and TIFF keep 16 bits; JPEG ends at 65500 pixels a side and "
        "has no transparency; WebP ends at 16383.",
        section="Result",
    )
    quality: int = flag(95, "1 to 100, of JPEG and WebP.")
    outscale: float = flag(
        0.0,
        "Size of the result / size of the photograph, such as 2.5: the "
        "network's result is resized (lanczos3 if made smaller, else bicubic). 0 takes "
        "the network's scale.",
    )
    ensemble: bool = flag(
        False,
        "Average the network over the eight flips and quarter turns: a "
        "little better, eight times slower.",
    )
    overwrite: bool = flag(
        False,
        "Make everything again and replace files that exist. Without it "
        "finished results are kept, those of another source or other settings made "
        "again, and files that this program did not make never replaced.",
    )
    report: str = flag("", "Write what became of every file to this JSON file.")
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = flag(
        "auto",
        "Where the network runs. `auto`: on an NVIDIA GPU if that really "
        "works, else on the CPU; which it was, and why, is printed.",
        section="Device",
    )
    strict: bool = flag(
        False,
        "Stop when the provider asked for cannot be had, or runs only part "
        "of the network, instead of going on elsewhere.",
    )
    device: int = flag(0, "Number of the GPU.")
    threads: int = flag(
        0, "Threads of the network on the CPU; 0 takes one per physical core."
    )
    fp16: bool = flag(
        False,
        "Use model_fp16.onnx beside the model: half the memory and faster on "
        "GPUs, slower on most CPUs. An image for which it overflows is made again with "
        "the model itself.",
    )
    tile: int = flag(
        0,
        "Side of the LR tiles that the network sees, in pixels; memory grows "
        "with its square. 0 takes what suits the network.",
        section="Memory and speed",
    )
    overlap: int = flag(
        -1,
        "LR pixels of real surroundings that each tile gets. -1 takes as "
        "many as the network sees, so that tiles equal the whole image, or what was "
        "measured to be enough where it sees too far for that.",
    )
    blend: int = flag(
        -1,
        "LR pixels over which neighbouring tiles fade into each other. -1: "
        "none where tiles equal the whole image, else 8.",
    )
    batch_size: int = flag(
        0, "Tiles at once; 0: 1 on a CPU, on a GPU as many as fill it."
    )
    memory_mb: int = flag(
        256,
        "MB of pixels, photographs and results together, that may wait in "
        "memory; the rest waits in scratch files in the output folder.",
    )
    progress: Literal["auto", "on", "off"] = flag(
        "auto",
        "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal. Otherwise a line for each file.",
    )

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.upscale", "model", "input", "output")
        require_at_least(self, overlap=-1, blend=-1, tile=0, batch_size=0, threads=0)
        require_at_least(self, device=0, memory_mb=0, quality=1)
        if self.quality > 100:
            raise UserError(f"--quality must be 1 to 100. Received: {self.quality}.")
        if not 0 <= self.outscale <= MAX_OUTSCALE:
            raise UserError(
                f"--outscale must be above 0 and at most {MAX_OUTSCALE:g}, or 0 for "
                f"the network's scale. Received: {self.outscale:g}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.upscale",
    config=UpscaleConfig,
    intro="Upscales photographs with an exported network; needs no TensorFlow. Depth "
    "(8 or 16 bits), grey, transparency, ICC profile, EXIF and XMP are kept, and EXIF "
    "orientation is applied. Every file appears in full or not at all. Started again "
    "with the same flags after a stop, a folder goes on where it was. A file that "
    "cannot be used (damaged, an animation, not an image) is named, and the others are "
    "done. Exit code: 0 when all files were done, 1 when some failed, 2 when nothing "
    "could be done, 75 when a folder was stopped by Ctrl-C or SIGTERM (start it again "
    "to go on), 130 when one file was.",
    examples=(
        "python -m pdm_tf.upscale --model=exported --input=photo.jpg "
        "--output=photo_x4.png",
        "python -m pdm_tf.upscale --model=exported/model.onnx --input=photos "
        "--output=photos_x4 --format=png --report=photos_x4.json",
        "python -m pdm_tf.upscale --model=exported --input=photos --output=photos_x2 "
        "--outscale=2 --provider=cuda --strict --fp16",
    ),
)
