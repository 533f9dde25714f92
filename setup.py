"""Installs `pdm_tf`: what it needs, in the version ranges it was tested with.

Ranges, not pins: both ends are lines that the tests have run on (how they were tested:
docs/decisions/0002-version-ranges.md). `configs/` is installed as `pdm_tf/configs/`, a
link in the checkout, so that flag files are known by name from any folder.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (HERE / "pdm_tf" / "__init__.py").read_text(), re.M
).group(1)

# The page of the repository's files at one version, e.g. .../blob/v0.1.0; a package
# index shows README without them.
FILES_URL = os.environ.get("PDM_TF_FILES_URL", "").rstrip("/")


def for_index(readme: str, files_url: str) -> str:
    """README with links that lead somewhere from a package index.

    Args:
      readme: the file, in which links are relative.
      files_url: address that stands for the folder of README; empty: none is known,
        and pictures are left out and links become their words.
    """
    picture = r"!\[([^]]*)\]\((?!https?:)([^)]*)\)"
    link = r"\[([^]]*)\]\((?!https?:|#)([^)]*)\)"
    if files_url:
        readme = re.sub(picture, rf"![\1]({files_url}/\2?raw=true)", readme)
        return re.sub(link, rf"[\1]({files_url}/\2)", readme)
    return re.sub(link, r"\1", re.sub(picture + r"\n*", "", readme))


TENSORFLOW = ">=2.21,<2.22"
# TensorFlow 2.21 is built for CUDA 12, and so are these; onnxruntime-gpu 1.27 and later
# bring CUDA 13, whose cuDNN overwrites TensorFlow's files in the same environment.
# The wheel runs on machines without a GPU too; beside plain onnxruntime it breaks both.
ONNXRUNTIME_GPU = "onnxruntime-gpu>=1.23,<1.27"
TENSORBOARD = "tensorboard>=2.20,<2.22"
EXPORT = [
    "tf2onnx>=1.17,<1.18",
    "onnx>=1.17,<1.24",
    ONNXRUNTIME_GPU,
    "tensorflow-serving-api>=2.21,<2.22",  # messages and stubs: warm-up, the client
]
UPSCALE = [ONNXRUNTIME_GPU]
BULK = [*UPSCALE, "apache-beam>=2.77,<2.78"]
SERVE = [*UPSCALE, "kserve>=0.21,<0.22"]
DOCS = ["sphinx>=8.1,<10", "myst-parser>=4,<6", "furo>=2025.7"]

setup(
    name="pdm_tf",
    version=VERSION,
    description="Blind super-resolution that learns the degradation of your photographs"
    " (PDM-SR, Luo et al. 2022) in TensorFlow and Keras 3.",
    long_description=for_index(
        (HERE / "README.md").read_text(encoding="utf-8"), FILES_URL
    ),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    # One folder that holds all packages goes on the path of an editable installation as
    # a whole. A finder of imports, the other way, comes after the working directory, in
    # which the checkout itself would be taken for the package.
    package_dir={"": "."},
    packages=find_packages(include=["pdm_tf", "pdm_tf.*", "export", "export.*"]),
    entry_points={"console_scripts": ["pdm_tf = pdm_tf.__main__:main"]},
    package_data={
        "export": ["py.typed", "templates/*"],
        "pdm_tf": ["py.typed", "configs/**/*"],
        "pdm_tf.samples": ["README.md", "*/*.jpg"],
        "pdm_tf.reporting": ["assets/*", "templates/*"],
    },
    install_requires=[
        f"tensorflow{TENSORFLOW}",
        "keras>=3.15,<3.16",
        "numpy>=2.1,<2.6",
        "absl-py>=2.1,<3",
        "pillow>=11,<14",
        "pyvips[binary]>=3.1,<4",  # TIFF, GIF and 16 bits; for upscale all
        "safetensors>=0.8,<0.9",
        "scipy>=1.14,<1.19",
        "tensorboardX>=2.6.5,<3",  # the event files of training
        "tqdm>=4.66,<5",
        # Reports, which every training run leaves: their pages, and the charts in them.
        "jinja2>=3.1,<4",
        "matplotlib>=3.11,<3.12",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]{TENSORFLOW}", ONNXRUNTIME_GPU],
        "watch": [TENSORBOARD],  # training writes its files without it
        "export": EXPORT,
        "upscale": UPSCALE,
        "bulk": BULK,
        "serve": SERVE,
        "benchmark": [*UPSCALE, "torch>=2.9,<2.15"],  # the other side of ratios
        "docs": DOCS,
        "fuzz": ["atheris>=3.0,<3.1"],
        "dev": [
            TENSORBOARD,
            *EXPORT,
            *UPSCALE,
            *DOCS,
            "pytest>=8.3,<10",
            "pytest-xdist>=3.6,<4",  # the tests on two cores: half the time
            "hypothesis>=6.115,<7",
            "playwright>=1.50,<1.66",  # drives the system's Chromium
            "pyyaml>=6,<7",
            "scikit-image>=0.25,<0.27",
            "ruff>=0.17,<0.18",  # formatting may differ from one line to the next
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
