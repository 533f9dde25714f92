"""An estimate by hand, as the measuring would give it, and a check beside it."""

import numpy as np

from pdm_tf.core.source_estimate import (
    JpegMeasure,
    JpegPopulation,
    KernelEstimate,
    KernelPopulation,
    NoisePopulation,
    PhotographEstimate,
    SourceEstimate,
)

MEAN = (1.45, 0.0, 0.0)
SPREAD = np.diag([0.16, 0.06, 0.06])


def matrix(values):
    return tuple(tuple(float(x) for x in row) for row in values)


def estimate_by_hand(count=28, noise=True, jpeg=True, gates=()):
    random = np.random.default_rng(0)
    photographs = []
    for index in range(count):
        mean = random.multivariate_normal(MEAN, SPREAD)
        photographs.append(
            PhotographEstimate(
                name=f"walk/{index:04d}.png",
                kernel=KernelEstimate(tuple(mean.tolist()), matrix(0.02 * np.eye(3))),
                weight=0.2 if index == 3 else 1.0,
                noise_255=(3.0 + index / 10, 5.0 + index / 8) if noise else None,
                jpeg=JpegMeasure(30 + index // 3, "420", (0, 0), "comb")
                if jpeg
                else JpegMeasure(),
            )
        )
    photographs.append(PhotographEstimate("walk/dark.png", left_out="is all black"))
    return SourceEstimate(
        scale=4,
        grid="pixel0",
        kernels=KernelPopulation(
            MEAN,
            matrix(SPREAD),
            matrix(SPREAD / count),
            photographs=count - 0.8,
            slopes=(0.92, 0.75, 0.71),
            gates=gates,
            raw_mean=(1.4, 0.02, 0.01),
            raw_covariance=matrix(1.4 * SPREAD),
        ),
        noise=NoisePopulation(
            (-4.7, -6.4), ((0.1, 0.02), (0.02, 0.2)), 0.3, photographs=count
        )
        if noise
        else None,
        jpeg=JpegPopulation(tuple(30 + i // 3 for i in range(count))) if jpeg else None,
        photographs=tuple(photographs),
        facts={
            "seconds": {"check": 2.4, "regressor": 118.0},
            "regressor": {"photographs": 6, "held_out": 1, "long_axis_px": 0.31},
            "settings": {"rounds": 2, "draws": 200},
        },
    )


def folder_by_hand(location, count, side, **more):
    return {
        "location": location,
        "files": count + 1,
        "usable": count,
        "kinds": {"png": count - 2, "jpeg": 2},
        "bits": {"8": count},
        "cameras": {},
        "grey": 2,
        "width": [side - 9, float(side), side],
        "height": [side, float(side), side],
        "megapixels": count * side**2 / 1e6,
        "mean_255": [112.2, 115.4, 95.0],
        "contrast_255": 49.5,
        "floor_255": 0.83,
        "detail_db": -16.2,
        "reduced_detail_db": None,
        "photographs": [
            {
                "name": f"walk/{index:04d}.png",
                "left_out": "",
                "kind": "png",
                "width": side,
                "height": side,
                "bits": 8,
                "camera": "",
                "is_grey": False,
                "mean_255": [90.0 + index, 95.0, 100.0],
                "contrast_255": 40.0 + index,
                "clipped": 0.01,
                "detail_db": -15.0 - index / 10,
                "reduced_detail_db": None,
                "floor_255": 0.5,
                "sha256": "0123456789abcdef",
            }
            for index in range(count)
        ]
        + [
            {
                "name": "walk/dark.png",
                "left_out": "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image",
                "kind": "",
                "width": 0,
                "height": 0,
                "bits": 8,
                "camera": "",
                "is_grey": False,
                "mean_255": [0.0, 0.0, 0.0],
                "contrast_255": 0.0,
                "clipped": 0.0,
                "detail_db": None,
                "reduced_detail_db": None,
                "floor_255": 0.0,
                "sha256": "",
            }
        ],
        **more,
    }


def finding(level, text="Something was seen.", names=()):
    return {"level": level, "code": "code", "text": text, "names": list(names)}


def check_by_hand(*findings):
    return {
        "scale": 4,
        "hr": folder_by_hand("photos/hr", 7, 480, reduced_detail_db=-9.2),
        "lr": folder_by_hand("photos/lr", 28, 120),
        "findings": list(findings),
        "advice": {
            "flags": [
                ["--steps=2000 --lr_milestones=0.6,0.8", "every HR pixel is seen"],
                ["--nonoise", "no noise beyond rounding was found"],
            ],
            "steps": 2000,
            "batch": 32,
            "lines": ["28 LR photographs are enough for an estimate."],
        },
    }
