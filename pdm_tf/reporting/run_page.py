"""The page of a run: its networks' results, with a verdict in a line at the top.

It is made from arrays and JSON alone. The program `pdm_tf.report` adds the sections in
the order of the page, and renders it; the facts for the verdict come from the same
arrays and numbers as the page.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.reporting.calibration_section import calibrated, calibration_section
from pdm_tf.reporting.evaluation import baseline_note
from pdm_tf.reporting.kernel_section import kernel_section, without_kernels
from pdm_tf.reporting.measured_section import measured_section
from pdm_tf.reporting.page import Section, Verdict, made_by, render_page
from pdm_tf.reporting.photograph_sections import (
    Comparison,
    colour_cast,
    content_correlation,
    noise_section,
    patch_section,
    scores_section,
    sr_section,
)
from pdm_tf.reporting.rendering import render
from pdm_tf.reporting.training_section import (
    Records,
    last_text,
    last_value,
    training_section,
)
from pdm_tf.reporting.verdict import Facts, verdict_on

FILE = "report.html"


class RunPage:
    """A page that grows section by section.

    Attributes:
      sources: (kind, origin) of the images that were used.
      left_out: unusable inputs, each with its reason.
      missing: (part of a page, why it is not there and what would bring it).
    """

    def __init__(self, run: Mapping[str, Any], records: Records) -> None:
        """Begins an empty page.

        Args:
          run: `evaluation.opened_run.OpenedRun.to_json`.
          records: the numbers that the run logged; empty for a bundle on its own.
        """
        self.sources: list[tuple[str, str]] = []
        self.left_out: list[str] = []
        self.missing: list[tuple[str, str]] = []
        self._run = run
        self._records = records
        self._sections: list[Section] = []
        self._facts: dict[str, Any] = _facts_of(records)

    def add_degradation(
        self,
        *,
        kernels: np.ndarray | None,
        true_kernels: np.ndarray | None,
        centre_px: float,
        one_kernel: bool,
        clean_lr: np.ndarray,
        noise: np.ndarray | None,
        fake_lr_u8: np.ndarray,
        real_lr_u8: np.ndarray | None,
        measured: Mapping[str, Any],
        missing: str,
        untold: Mapping[str, str],
        moved: float | None = None,
        estimate: SourceEstimate | None = None,
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds kernels, noise and patches of a learned degradation, and its metrics.

        Args: see `evaluation.run_findings.DegradationFindings`; and what the run
          measured of its source before training, with refine/decision.json.
        """
        facts: dict[str, Any] = {"degrades": True, "moved": moved}
        facts["step"] = self._run["step"]
        if kernels is None:
            sections = [without_kernels(untold["kernels"])]
        else:
            facts |= _kernel_facts(kernels, true_kernels, centre_px)
            facts["one_kernel"] = one_kernel
            sections = [kernel_section(kernels, true_kernels, centre_px=centre_px)]
        if noise is not None:
            facts |= {
                "noise_std": float(noise.std()) * 255,
                "noise_cast": colour_cast(noise) * 255,
                "noise_content": content_correlation(clean_lr, noise),
            }
            adds = kernels is not None
            sections.append(noise_section(clean_lr, noise, adds=adds))
        if estimate is not None:
            noise_facts = measured.get("noise")
            known = calibrated(estimate, kernels, true_kernels, noise_facts)
            sections.insert(1, calibration_section(known, estimate, decision))
            facts["moved"] = None
            if decision is None or decision["accepted"] == "estimate":
                facts["measured"] = {
                    one.short: (one.measured, one.learned)
                    for one in known
                    if one.learned is not None and "axis" in one.name
                }
        sections.append(patch_section(real_lr_u8, fake_lr_u8))
        sections.append(measured_section(measured, missing))
        if fidelity := measured.get("fidelity"):
            facts |= {
                "lr_cast": fidelity["cast"] * 255,
                "lr_correlation": fidelity["correlation"],
            }
        if real := measured.get("real_lr"):
            classifier = real["synthesised"]["classifier"]
            facts |= {
                "told_apart": classifier["accuracy"],
                "told_apart_low": classifier["low"],
            }
        self._sections += sections
        self._facts |= facts

    def add_comparisons(
        self,
        comparisons: Sequence[Comparison],
        *,
        scale: int,
        place: str,
        available: int,
        grid: str = "",
    ) -> None:
        """Adds before and after on photographs.

        Args:
          comparisons: one for each slider.
          scale: of the network.
          place: origin of the photographs.
          available: how many there are.
          grid: that both put LR pixels on, for a note; "" if unknown.
        """
        note = (
            f"{len(comparisons)} of {available} photographs of {place}, evenly by "
            "name, not by looks; of each the most textured region."
        )
        if grid == "pixel0" and scale > 1:
            note += (
                f" Both put LR pixel i on HR pixel {scale}i, where it was sampled; "
                "bicubic as other programs have it, which takes pixels for areas, lies "
                f"{(scale - 1) / 2:g} pixels further down and right."
            )
        self._sections.append(sr_section(comparisons, note))

    def add_scores(
        self, report: Mapping[str, Any], *, available: int, place: str
    ) -> None:
        """Adds scores on pairs; they take precedence over those of the run's log.

        Args:
          report: content of a report.json with psnr, ssim, psnr_shift and bicubic.
          available: pairs that there are.
          place: their origin.
        """
        mean, bicubic = report["mean"], report["baseline"]["bicubic"]
        count = report["count"]
        pairs = f"All {count} pairs" if count == available else f"{count} of the pairs"
        note = (
            f"{pairs} of {place}, RGB, "
            f"{report['crop_border']} pixels cropped off every side; a shift is where "
            "the network's content lies against the original. "
        ) + baseline_note(report)
        self._sections.append(scores_section(report, note))
        self.note_displaced(report.get("displaced", ""))
        self._facts |= {
            "psnr": mean["psnr"],
            "psnr_shift": mean["psnr_shift"],
            "bicubic_psnr": bicubic["psnr"],
            "ssim": mean["ssim"],
            "bicubic_ssim": bicubic["ssim"],
            "pairs": count,
        }

    def note_displaced(self, sentence: str) -> None:
        """Takes what `data.pair_check.displaced` says, for the verdict."""
        if sentence:
            self._facts["displaced"] = (*self._facts.get("displaced", ()), sentence)

    @cached_property
    def sections(self) -> list[Section]:
        """Returns the added sections, then the curves and the settings of the run."""
        training = training_section(self._records)
        curves = [] if training is None else [training]
        missing = _missing(self.missing, self.left_out)
        about = _about(self._run, self.sources)
        return [*self._sections, *curves, *missing, about]

    def render(self) -> tuple[str, Verdict]:
        """Makes the document and its verdict."""
        verdict = verdict_on(Facts(**self._facts))
        page = render_page(
            f"What \u201c{self._run['name']}\u201d has learned",
            _subtitle(self._run),
            verdict,
            self.sections,
            made_by(self.left_out),
        )
        return page, verdict

    def save_figures(self, folder: Path) -> list[Path]:
        """Writes every chart of the page as SVG and PDF, named after its content."""
        written = []
        for section in self.sections:
            for chart in section.charts:
                title = re.sub(r"\W+", "_", chart.title.lower()).strip("_")
                written += chart.save(folder / f"{section.anchor}_{title}")
        return written


def _missing(
    parts: Sequence[tuple[str, str]], left_out: Sequence[str]
) -> list[Section]:
    """What is not on the page, and why; no section if nothing is missing."""
    files = [tuple(line.split(": ", 1)) for line in left_out]
    rows = [*parts, *files]
    if not rows:
        return []
    body = render("facts", caption="Left out", facts=rows)
    lead = "Parts that other pages of this kind have, and files that could not be used."
    return [Section("missing", "Not on this page", lead, body)]


def _kernel_facts(
    kernels: np.ndarray, true_kernels: np.ndarray | None, centre_px: float
) -> dict[str, Any]:
    """Widths and centres, for the verdict."""
    moments = kernel_moments(kernels)
    facts = {
        "width_std_px": float(moments.sigma[:, 0].std()),
        "centre_px": float(np.hypot(*(moments.offset.mean(axis=0) - centre_px))),
    }
    if true_kernels is not None:
        true_widths = kernel_moments(true_kernels).sigma[:, 0]
        facts["true_width_std_px"] = float(true_widths.std())
    return facts


def _facts_of(records: Records) -> dict[str, Any]:
    """Takes facts from the run's own log."""
    kind = "val_ema" if last_value(records, "val_ema/psnr") else "val"
    return {
        "psnr": last_value(records, f"{kind}/psnr"),
        "psnr_shift": last_value(records, f"{kind}/psnr_shift"),
        "bicubic_psnr": last_value(records, "val/bicubic/psnr"),
        "ssim": last_value(records, f"{kind}/ssim"),
        "bicubic_ssim": last_value(records, "val/bicubic/ssim"),
        "alarm": last_text(records, "alarm/active"),
    }


def _subtitle(run: Mapping[str, Any]) -> str:
    networks = run["networks"]
    what = "a learned degradation" if "degradation" in networks else "an SR network"
    if "degradation" in networks and "sr" in networks:
        what = "a learned degradation, and the SR network trained with it"
    return f"{what[0].upper()}{what[1:]}: x{run['scale']}, step {run['step']:,}."


def _about(run: Mapping[str, Any], sources: Sequence[tuple[str, str]]) -> Section:
    """The last section: everything to repeat the run and the report.

    Args:
      run: `evaluation.opened_run.OpenedRun.to_json`.
      sources: (kind, origin) of the images that the report used.
    """
    settings, networks = run["settings"], run["networks"]
    facts = [
        ("run folder", run["run_dir"] or "none: a bundle on its own"),
        ("method", _joined(settings, ("method", "preset"))),
        ("step", _steps(run)),
        ("scale", f"x{run['scale']}"),
        ("seed", settings.get("seed")),
        *((f"network {role}", _network(found)) for role, found in networks.items()),
        *sources,
        *_environment(run["environment"]),
    ]
    tables = [("All settings of the run", settings)] if settings else []
    tables += [(f"Settings of {n['name']}", n["config"]) for n in networks.values()]
    body = render(
        "about_run",
        facts=[(name, value) for name, value in facts if value not in (None, "")],
        settings=[
            (title, [(name, _text(value)) for name, value in values.items()])
            for title, values in tables
        ],
    )
    return Section(
        "about",
        "About this run",
        "Versions, settings and files, to repeat it.",
        body,
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _joined(settings: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(str(settings[name]) for name in names if settings.get(name))


def _steps(run: Mapping[str, Any]) -> str:
    planned = run["settings"].get("steps")
    if planned is None:
        return f"{run['step']:,}"
    return f"{run['step']:,} of {planned:,}"


def _network(found: Mapping[str, Any]) -> str:
    bundle = found["bundle"]
    weights = "averaged weights" if bundle.endswith("_ema") else "last weights"
    stages = found.get("stages", ())
    of_which = ", ".join(f"{name} {count:,}" for name, count in stages)
    of_which = f" ({of_which})" if len(stages) > 1 else ""
    return (
        f"{found['name']}, {found['parameters']:,} parameters{of_which}, {weights} of "
        f"step {found['step']:,}, bundle {bundle}, sha256 {found['sha256'][:12]}"
    )


def _environment(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not environment:
        return []
    versions = environment.get("versions", {})
    device = environment.get("device", {})
    gpus = ", ".join(device.get("gpus", [])) or "no GPU"
    return [
        ("started", str(environment.get("started", ""))),
        ("versions", ", ".join(f"{k} {v}" for k, v in versions.items())),
        ("commit", str(environment.get("commit") or "unknown")),
        ("device", f"{device.get('cpus', '?')} CPU cores, {gpus}"),
    ]
