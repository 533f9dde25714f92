"""A pool of blur kernels, one for each photograph of a folder, by KernelGAN.

The folder of a pool:

    kernels.npy     [N, K, K] float32, correlated, each of sum 1
    kernels.json    a row for each photograph: its kernel's index, or why it has none
    kernels.png     all kernels, and those that were left out
    estimates/      what was found for each photograph, before anything is judged

Estimates are kept as they are finished, so a start after a stop goes on; what is made
of them (scale, grid, which are left out) is done anew each time.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.draw import kernel_tile, tile_grid, with_label, with_title
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_bytes_atomic, write_json_atomic
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.ledger import Ledger, stamp
from pdm_tf.core.photographs import read_size
from pdm_tf.core.stored import read_arrays
from pdm_tf.estimation.kernel_judgement import JudgedKernel, judged, kernel_offset
from pdm_tf.estimation.kernelgan import Estimate, KernelGANs, KernelGANSettings

LEDGER_NAME = ".kernelgan.jsonl"
ESTIMATES = "estimates"
_COLUMNS = 10

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PoolRequest:
    """The work on a folder.

    Attributes:
      scale: HR size / LR size of the photographs, 2 or 4.
      grid: where LR pixels lie on the HR grid, of GRIDS.
      settings: of the training.
      seed: of everything random.
      seeds: GANs for each photograph, of seeds of their own; 2 or more tell how far the
        kernel is a matter of chance.
      at_once: photographs in one graph.
    """

    scale: int
    grid: str
    settings: KernelGANSettings
    seed: int = 0
    seeds: int = 2
    at_once: int = 8


@dataclass(frozen=True)
class PoolOutcome:
    """What became of the photographs.

    Attributes:
      estimated: GANs were trained now.
      kept: an earlier start had trained them.
      kernels: how many are in the pool.
      left_out: (name, reason) of the others.
    """

    estimated: int
    kept: int
    kernels: int
    left_out: tuple[tuple[str, str], ...]


def make_kernel_pool(
    input_dir: str | Path,
    output_dir: str | Path,
    request: PoolRequest,
    on_progress: OnProgress = lambda done, total, text: None,
    on_kernel: Callable[[str], None] = lambda line: None,
) -> PoolOutcome:
    """Estimates the kernels of all photographs and writes the pool.

    Args:
      input_dir: folder of LR photographs, searched recursively.
      output_dir: the pool's folder.
      request: what to do.
      on_progress: gets steps done, steps in all (of single photographs) and a text
        after each step; may raise to stop, and a later call goes on.
      on_kernel: gets a line for each photograph that is finished.

    Raises:
      UserError: no photographs.
    """
    input_dir, output_dir = Path(input_dir), Path(output_dir)
    names = {
        path.relative_to(input_dir).as_posix(): path for path in list_images(input_dir)
    }
    ledger = Ledger(output_dir, LEDGER_NAME)
    problems = _unusable(names, request.settings.crop)
    usable = {name: path for name, path in names.items() if name not in problems}
    waiting = [
        name
        for name, path in usable.items()
        if not ledger.is_finished(name, _inputs(path, request))
    ]
    before = len(usable) - len(waiting)
    if waiting:
        failed = _estimate_all(
            {name: usable[name] for name in waiting},
            output_dir,
            ledger,
            request,
            on_progress,
            on_kernel,
        )
        problems |= failed
    found = {}
    for name in names:
        if name not in problems:
            estimates = read_estimates(output_dir / _file_of(name))
            found[name] = judged(estimates, request.scale, request.grid)
    count = _write_pool(output_dir, request, list(names), found, problems)
    left_out = problems | {
        name: kernel.reason for name, kernel in found.items() if kernel.reason
    }
    in_order = tuple((name, left_out[name]) for name in names if name in left_out)
    return PoolOutcome(len(waiting), before, count, in_order)


def _unusable(names: dict[str, Path], crop: int) -> dict[str, str]:
    """Name -> why a photograph cannot be used, for those that cannot."""
    problems = {}
    for name, path in names.items():
        try:
            height, width = read_size(path)
        except ImageError as error:
            problems[name] = error.reason
            continue
        if min(height, width) < crop:
            problems[name] = (
                f"is {width}x{height}; crops of {crop}x{crop} are needed "
                "(--crop_size, at a loss of quality)"
            )
    return problems


def _inputs(path: Path, request: PoolRequest) -> dict[str, Any]:
    """Everything that decides a photograph's estimates."""
    return {
        "source": stamp(path),
        "settings": dataclasses.asdict(request.settings),
        "seed": request.seed,
        "seeds": request.seeds,
    }


def _file_of(name: str) -> str:
    return f"{ESTIMATES}/{name}.npz"


def _estimate_all(
    paths: dict[str, Path],
    output_dir: Path,
    ledger: Ledger,
    request: PoolRequest,
    on_progress: OnProgress,
    on_kernel: Callable[[str], None],
) -> dict[str, str]:
    """Trains group by group; returns name -> reason of files that cannot be read."""
    problems: dict[str, str] = {}
    steps, done = request.settings.steps, 0
    total = steps * len(paths)
    gans: KernelGANs | None = None
    for group in _groups(list(paths), request.at_once):
        images = {}
        for name in group:
            try:
                images[name] = read_rgb_u8(paths[name])
            except ImageError as error:
                problems[name] = error.reason
        total -= steps * (len(group) - len(images))
        if not images:
            continue
        text = f"{len(paths)} photographs, {len(images)} at once"

        def count(
            size: int = len(images), total: int = total, text: str = text
        ) -> None:
            nonlocal done
            done += size
            on_progress(done, total, text)

        entries = [(name, i) for name in images for i in range(request.seeds)]
        if gans is None or gans.stack != len(entries):
            gans = KernelGANs(len(entries), request.settings)
        estimates = gans.train(
            [images[name] for name, _ in entries],
            [request.seed] * len(entries),
            [f"{name}/{i}" for name, i in entries],
            count,
        )
        for name in images:
            own = [
                estimate
                for (owner, _), estimate in zip(entries, estimates, strict=True)
                if owner == name
            ]
            data = _packed(own)
            file = _file_of(name)
            write_bytes_atomic(output_dir / file, data)
            inputs = _inputs(paths[name], request)
            ledger.add(name, inputs, {file: len(data)})
            on_kernel(f"{name}: {judged(own, request.scale, request.grid).summary}")
    return problems


def _groups(names: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(names), size):
        yield names[first : first + size]


def _packed(estimates: Sequence[Estimate]) -> bytes:
    buffer = io.BytesIO()
    columns = {
        field.name: np.array([getattr(one, field.name) for one in estimates])
        for field in dataclasses.fields(Estimate)
    }
    np.savez(buffer, **columns)
    return buffer.getvalue()


def read_estimates(path: Path) -> list[Estimate]:
    """Returns what was found for one photograph, from its file below `ESTIMATES`."""
    columns = read_arrays(path)
    try:
        return [
            Estimate(kernel, float(separation), float(loss))
            for kernel, separation, loss in zip(
                columns["kernel"],
                columns["separation"],
                columns["bicubic_loss"],
                strict=True,
            )
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} must hold what was found for one photograph. Received: {error}. "
            "Remove it to have it made again."
        ) from error


def _write_pool(
    folder: Path,
    request: PoolRequest,
    names: list[str],
    found: dict[str, JudgedKernel],
    problems: dict[str, str],
) -> int:
    """Writes the pool's three files; returns how many kernels are in it."""
    kept = [name for name in names if name in found and not found[name].reason]
    rows = []
    for name in names:
        index = kept.index(name) if name in kept else None
        row: dict[str, Any] = {"name": name, "kernel": index}
        if name in problems:
            rows.append({**row, "left_out": problems[name]})
        else:
            rows.append({**row, **found[name].row})
    about = {
        "scale": request.scale,
        "grid": request.grid,
        "centre_of_mass": kernel_offset(request.scale, request.grid),
        **dataclasses.asdict(request.settings),
        "seed": request.seed,
        "seeds": request.seeds,
        "photographs": rows,
    }
    if kept:
        buffer = io.BytesIO()
        kernels = np.stack([found[name].kernel for name in kept])
        np.save(buffer, kernels.astype(np.float32))
        write_bytes_atomic(folder / "kernels.npy", buffer.getvalue())
    else:
        (folder / "kernels.npy").unlink(missing_ok=True)
    write_json_atomic(folder / "kernels.json", json.loads(json.dumps(about)))
    if found:
        write_png(folder / "kernels.png", _picture(names, found))
    return len(kept)


def _picture(names: list[str], found: dict[str, JudgedKernel]) -> np.ndarray:
    parts = []
    for title, is_kept in (("in the pool", True), ("left out", False)):
        chosen = [
            name
            for name in names
            if name in found and (not found[name].reason) == is_kept
        ]
        if not chosen:
            continue
        tiles = [
            with_label(
                kernel_tile(found[name].kernel, cross_hair=True),
                [Path(name).stem, found[name].caption],
                size=11,
            )
            for name in chosen
        ]
        rows = [tiles[i : i + _COLUMNS] for i in range(0, len(tiles), _COLUMNS)]
        parts.append([with_title(tile_grid(rows), f"{len(chosen)} kernels {title}")])
    return tile_grid(parts, gap=16, margin=12)
