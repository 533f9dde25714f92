"""Upscales images of any size with one network, tile by tile.

`Engine` holds the network and the cutting of images; a call is carried out in
`tile_pipeline.py`. Tiles of different images share a batch when their shapes agree.

A float16 network can overflow (65504 is its largest number) and then gives inf or nan.
Every tile is checked for that, and such an image is redone from its first row with the
float32 network.

The ensemble is the 8-fold self-ensemble of EDSR (Lim et al. 2017, arXiv:1707.02921,
"EDSR+"): the network sees the image turned by 0, 90, 180 and 270 degrees, unmirrored
and mirrored; each result is turned back, and their mean is the output, at eight times
the work. Where the network's LR pixels lie on the first of their HR pixels (the grid
"pixel0"), a result of a reversed image is moved back by scale - 1 pixels too
(`core.geometry.reversal_shift`). The image's last scale - 1 rows and columns are the
mean of those parts that show them: two at the last corner. Tiles inside the image lose
nothing, since the overlap is cut off.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import ASSUMED_GRID, d4_parts, reversal_shift
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.inference.model_file import model_files
from pdm_tf.inference.session import SrSession, open_session
from pdm_tf.inference.tile_pipeline import LrSource, SrSink, TilePipeline
from pdm_tf.inference.tiling import Cutting, TilePlan, choose_cutting

# All symmetries, the two shapes of a tile one after the other.
_SYMMETRIES = (0, 4, 2, 6, 1, 7, 3, 5)

Fallback = SrSession | Callable[[], SrSession] | None


class Engine:
    """Upscales images with one network; made once, used for many.

    Attributes:
      session: the network. scale: its factor.
      cutting: tile, overlap, blend, batch size, and whether they are exact.
      ensemble: whether each tile is computed in 8 orientations.
    """

    def __init__(
        self,
        session: SrSession,
        *,
        tile: int = 0,
        overlap: int | None = None,
        blend: int | None = None,
        batch_size: int = 0,
        ensemble: bool = False,
        fallback: Fallback = None,
    ) -> None:
        """Fills in missing settings; see `tiling.choose_cutting`.

        Args:
          session: of `open_session`.
          tile, overlap, blend, batch_size: in LR pixels, and tiles.
          ensemble: mean of 8 orientations, at 8 times the work.
          fallback: float32 network for images on which a float16 one overflows, or a
            function that opens it when it is needed.

        Raises:
          UserError: tile, overlap and blend that do not go together, or a fallback of
            another scale.
        """
        info = session.info
        self.session, self.scale, self.ensemble = session, info.scale, ensemble
        self._shift = reversal_shift(info.scale, info.grid or ASSUMED_GRID)
        radius = info.receptive_radius
        if radius is not None and ensemble and self._shift:
            # A reversed image shows an HR pixel between two LR pixels as one of the
            # second: it sees one LR pixel further on.
            radius += 1
        self.cutting: Cutting = choose_cutting(
            tile=tile,
            overlap=overlap,
            blend=blend,
            batch_size=info.batch or batch_size,
            radius=radius,
            advised=info.overlap,
            on_gpu=session.provider.on_gpu,
            multiple=info.multiple,
        )
        self._fallback = fallback

    def upscale(
        self,
        jobs: Iterable[tuple[LrSource, SrSink]],
        on_done: Callable[[int, Exception | None], None] | None = None,
    ) -> None:
        """Upscales images; returns when all are done.

        Args:
          jobs: pairs of a source and a sink; a thread takes the next one when the ones
            before have been read.
          on_done: called in this thread when a job is done, with its index and
            its error, or None. `abort` has been called on a failed sink.

        Raises:
          Whatever `jobs` or `on_done` raises, and KeyboardInterrupt; all sinks in work
          are aborted then.
        """
        TilePipeline(self, jobs, on_done or (lambda index, error: None)).run()

    def upscale_array(self, lr_u8: np.ndarray) -> np.ndarray:
        """Upscales one image in memory.

        Args:
          lr_u8: [H, W, 3] uint8 RGB.

        Returns:
          [H * scale, W * scale, 3] uint8, clipped and rounded half up.

        Raises:
          ValueError: another shape or type.
          UserError: the network could not be run on it.
        """
        if lr_u8.dtype != np.uint8 or lr_u8.ndim != 3 or lr_u8.shape[2] != 3:
            raise ValueError(
                "`lr_u8` must be [H, W, 3] uint8. "
                f"Received: {lr_u8.shape} {lr_u8.dtype}."
            )
        sink = _ArraySink(lr_u8.shape, self.scale)
        errors: list[Exception | None] = []
        self.upscale(
            [(_ArraySource(lr_u8), sink)], lambda index, error: errors.append(error)
        )
        if errors[0] is not None:
            raise errors[0]
        return sink.sr_u8

    def describe(self) -> dict[str, Any]:
        """JSON-ready particulars for reports."""
        info, provider, cutting = self.session.info, self.session.provider, self.cutting
        return {
            "model": info.path.name,
            "model_sha256": info.sha256,
            "architecture": info.architecture,
            "precision": info.precision,
            "scale": info.scale,
            "provider": provider.active,
            "provider_requested": provider.requested,
            "provider_reason": provider.reason,
            "tile": cutting.tile,
            "overlap": cutting.overlap,
            "blend": cutting.blend,
            "batch_size": cutting.batch_size,
            "receptive_radius": info.receptive_radius,
            "grid": info.grid,
            "exact": cutting.exact,
            "ensemble": self.ensemble,
        }

    def plan(self, source: LrSource) -> TilePlan:
        """Plans the tiles of an image."""
        if source.height < 1 or source.width < 1:
            raise UserError(
                "An image must have at least one pixel. Received: "
                f"{source.width}x{source.height}."
            )
        return self.cutting.plan(source.height, source.width, self.scale, source.layers)

    def forward(self, lr: np.ndarray, session: SrSession | None = None) -> np.ndarray:
        """Runs the network, or the ensemble, on one batch [B, h, w, 3] of tiles."""
        session = session or self.session

        def run(batch: np.ndarray) -> np.ndarray:
            missing = self._batch_for(session) - len(batch)
            if missing <= 0:
                return session.run(batch)
            padding = np.zeros((missing, *batch.shape[1:]), batch.dtype)
            return session.run(np.concatenate([batch, padding]))[: len(batch)]

        return self_ensemble(run, lr, self._shift) if self.ensemble else run(lr)

    def float32_session(self) -> SrSession | None:
        """Returns the network to redo an image with, opened at the first call."""
        if self.session.info.precision != "float16":
            return None
        if callable(self._fallback):
            self._fallback = self._fallback()
        if self._fallback is not None and self._fallback.info.scale != self.scale:
            raise UserError(
                "The float32 network must have the scale of the float16 one, "
                f"x{self.scale}. Received: x{self._fallback.info.scale}."
            )
        return self._fallback

    def _batch_for(self, session: SrSession) -> int:
        """Fills batches up to one size if the graph or the GPU needs it."""
        if session.info.batch:
            return session.info.batch
        return self.cutting.batch_size if session.provider.on_gpu else 0


def open_engine(
    model: Path,
    *,
    fp16: bool = False,
    provider: str = "auto",
    strict: bool = False,
    device_id: int = 0,
    threads: int = 0,
    sha256: str = "",
    **cutting: Any,
) -> Engine:
    """Opens a model's files and returns the engine with the network.

    Args:
      model: an ONNX file, or the folder that `python -m export` wrote.
      fp16: run the float16 file next to it; an image on which that overflows is redone
        with the model itself.
      provider, strict, device_id, threads: see `open_session`.
      sha256: hash that the file that runs must have; "": any.
      **cutting: see `Engine`: tile, overlap, blend, batch_size, ensemble.

    Raises:
      UserError: no such model, or it cannot run as asked.
    """
    path, fallback = model_files(model, fp16)

    def opened(file: Path, sha256: str = "") -> SrSession:
        return open_session(
            file,
            sha256=sha256,
            provider=provider,
            strict=strict,
            device_id=device_id,
            threads=threads,
        )

    return Engine(
        opened(path, sha256),
        fallback=None if fallback is None else lambda: opened(fallback),
        **cutting,
    )


class _ArraySource:
    """An 8-bit image in memory."""

    layers = 1

    def __init__(self, lr_u8: np.ndarray) -> None:
        self._lr_u8 = lr_u8
        self.height, self.width = lr_u8.shape[:2]

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return to_float(self._lr_u8[None, top:bottom, left:right])


class _ArraySink:
    """An 8-bit image that is being filled."""

    def __init__(self, lr_shape: tuple[int, ...], scale: int) -> None:
        height, width, colours = lr_shape
        self.sr_u8 = np.empty((height * scale, width * scale, colours), np.uint8)
        self._filled = 0

    def write_rows(self, rows: np.ndarray) -> None:
        count = rows.shape[1]
        self.sr_u8[self._filled : self._filled + count] = to_u8(rows[0])
        self._filled += count

    def finish(self) -> None:
        pass

    def restart(self) -> None:
        self._filled = 0

    def abort(self) -> None:
        pass


def self_ensemble(
    run: Callable[[np.ndarray], np.ndarray], lr: np.ndarray, shift: int = 0
) -> np.ndarray:
    """Returns the mean over the eight symmetries of the square.

    Args:
      run: [B, h, w, 3] -> [B, h * s, w * s, 3] float32, for any h and w. Tiles that are
        not square come in two shapes.
      lr: [B, h, w, 3] float32.
      shift: pixels by which results of reversed images lie too far on, less than s:
        `core.geometry.reversal_shift` of the network.

    Returns:
      [B, h * s, w * s, 3] float32. The last `shift` rows and columns are the mean of
      the parts that are not reversed along that axis: four, or two where both end.
    """
    total: np.ndarray | None = None
    for symmetry in _SYMMETRIES:
        down, right, transposed = d4_parts(symmetry)
        turn = np.s_[:, :: -1 if down else 1, :: -1 if right else 1]
        part = run(lr[turn].swapaxes(1, 2) if transposed else lr[turn])
        part = (part.swapaxes(1, 2) if transposed else part)[turn]
        if total is None:  # the image as it is, which has all pixels
            total = np.array(part)
            continue
        part = part[:, shift if down else 0 :, shift if right else 0 :]
        total[:, : part.shape[1], : part.shape[2]] += part
    if shift:  # half of the parts
        total[:, -shift:] *= np.float32(2)
        total[:, :, -shift:] *= np.float32(2)
    total /= np.float32(8)
    return total
