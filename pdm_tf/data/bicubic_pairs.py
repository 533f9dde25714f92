"""From a folder of HR photographs to pairs with their bicubic LR images.

    output_dir/hr/<name>.png   cropped so that the scale divides both sides
    output_dir/lr/<name>.png   MATLAB's imresize of it, 8 bit

HR is cropped at the bottom and the right, the custom of the field ("modcrop").
"""

from pathlib import Path

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import file_status
from pdm_tf.core.images import list_images, read_rgb_u8, to_u8, write_png
from pdm_tf.core.imresize import imresize
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.preparation import Outcome, open_output, require_some, written


def make_bicubic_pairs(
    input_dir: str | Path,
    output_dir: str | Path,
    *,
    scale: int,
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Writes the pairs; files that are there and newer than their source are kept.

    Args:
      input_dir: HR photographs, searched recursively.
      output_dir: gets the folders `hr` and `lr`, with the input's sub-folders.
      scale: hr size / lr size, >= 1.
      threads: 0 takes one per processor.
      on_progress: called with (images done, images in all).

    Raises:
      UserError: no images, none usable, two of the same name, or an output folder that
        cannot be used.
    """
    input_dir = Path(input_dir)
    files = list_images(input_dir)
    targets = _targets(files, input_dir)
    settings = {"task": "bicubic_lr", "scale": scale}
    folder = open_output(input_dir, output_dir, settings)

    def make(path: Path) -> bool | tuple[str, str]:
        outputs = [folder / side / targets[path] for side in ("hr", "lr")]
        if all(_is_newer(output, path) for output in outputs):
            return False
        try:
            _write_pair(path, *outputs, scale)
        except ImageError as error:
            return str(path), error.reason
        return True

    results = list(counted(in_threads(make, files, threads), len(files), on_progress))
    outcome = Outcome(
        written=results.count(True),
        kept=results.count(False),
        problems=tuple(result for result in results if isinstance(result, tuple)),
    )
    return require_some(outcome, input_dir)


def _write_pair(path: Path, hr_path: Path, lr_path: Path, scale: int) -> None:
    hr_u8 = read_rgb_u8(path)
    height, width = (length - length % scale for length in hr_u8.shape[:2])
    if not height or not width:
        shape = f"{hr_u8.shape[1]}x{hr_u8.shape[0]}"
        raise ImageError(path, f"is smaller than one LR pixel ({shape} px, x{scale})")
    hr_u8 = hr_u8[:height, :width]
    lr_u8 = to_u8(imresize(hr_u8 / 255.0, 1 / scale))
    written(lr_path, lambda: write_png(lr_path, lr_u8))
    written(hr_path, lambda: write_png(hr_path, hr_u8))


def _targets(files: list[Path], input_dir: Path) -> dict[Path, Path]:
    """Relative output path of each file; two files must not share one."""
    targets: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for path in files:
        target = path.relative_to(input_dir).with_suffix(".png")
        if target in owners:
            raise UserError(
                "Images in --input_dir must differ in more than their suffix. "
                f"Received: {owners[target]} and {path}, both to become {target}."
            )
        owners[target], targets[path] = path, target
    return targets


def _is_newer(output: Path, source: Path) -> bool:
    return output.exists() and output.stat().st_mtime >= file_status(source).st_mtime
