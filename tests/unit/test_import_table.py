"""Holds the table of who may import whom.

Every module is parsed, not imported, so that imports inside functions count too. The
table says for each package which third-party packages and which rooms of `pdm_tf` it
may use; the standard library and the package itself are always allowed. A new room has
to be entered here before anything in it passes.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TENSOR = {"numpy", "tensorflow"}
KERAS = TENSOR | {"keras"}
BELOW_BUILD = set(
    "core cli run ops models degradations bundles losses metrics data interop methods "
    "training evaluation inference train_config".split()
)

# room -> (third-party packages, rooms or modules of pdm_tf that it may import); a room
# imports only rooms that stand before it.
TABLE = {
    "core": ({"numpy", "PIL", "pyvips", "tqdm"}, set()),
    # Where things lie in a run folder: for its readers and its writer.
    "run": (set(), {"core"}),
    "cli": (set(), {"core"}),  # absl: in the files named below
    # A training run as values: what its program, build.py and benchmark speak of.
    "train_config": (set(), {"cli", "core"}),
    "samples": ({"numpy"}, {"core"}),
    "inference": ({"numpy", "onnxruntime"}, {"core"}),
    # Draws from JSON and arrays.
    "reporting": ({"numpy", "jinja2", "markupsafe", "matplotlib"}, {"core"}),
    "ops": (TENSOR, {"core"}),
    "models": (KERAS, {"ops", "core"}),
    "degradations": (
        KERAS,
        {"models.network", "models.layers", "models.translation", "ops", "core"},
    ),
    "bundles": (KERAS, {"models", "degradations", "run", "core"}),
    "losses": (TENSOR, {"ops"}),
    # bundle: LPIPS opens the one that its --metric_arg names; scipy: NIQE, assignments
    # and transforms of the degradation metrics.
    "metrics": (
        KERAS | {"scipy"},
        {"models.features", "bundles.bundle", "ops", "core"},
    ),
    # scipy: splines that centre kernels, convolutions. PIL: headers of files say camera
    # and JPEG tables.
    "estimation": (KERAS | {"PIL", "scipy"}, {"models", "ops", "core"}),
    "interop": (
        KERAS | {"safetensors", "ml_dtypes"},
        {"bundles.networks", "models", "degradations", "core"},
    ),
    "data": (TENSOR, {"cli", "core", "ops", "degradations"}),
    # bundles.chain: translator and SR network ship as one.
    "methods": (
        KERAS,
        set(
            "bundles.networks bundles.chain models degradations losses ops core".split()
        ),
    ),
    "training": (KERAS | {"tensorboardX"}, {"methods.base", "run", "core"}),
    # samples: photographs to degrade for users with a bundle and no HR photographs.
    # scipy: the bootstrap.
    "evaluation": (
        KERAS | {"scipy"},
        set(
            "metrics data inference bundles.bundle degradations.base core samples "
            "run".split()
        ),
    ),
    # The composition root, and the parts of methods that it is handed.
    "build_parts": (KERAS, BELOW_BUILD),
    "build": (KERAS | {"tqdm"}, BELOW_BUILD | {"build_parts"}),
    # What comes before an SR network where the source is measured first: runs derived
    # from one request, and what they are started from.
    "source_first": (
        KERAS,
        BELOW_BUILD - {"ops", "models", "losses", "interop", "inference"}
        | {"build", "build_parts", "estimation"},
    ),
    # Builds the methods of a study to check them; the program trains and evaluates.
    "studies": (
        set(),
        set("build cli core data evaluation run train_config".split()),
    ),
    # The torch side of ratios is in modules torch_*.py, loaded when it is asked for. A
    # network that is no file yet is written by the exporter, to time what is shipped.
    # data: the images that both pipelines cut from.
    "benchmarks": (
        KERAS | {"onnx", "google.protobuf", "torch"},
        set(
            "build cli core data inference methods.base models bundles degradations "
            "ops export.onnx_graph train_config run".split()
        ),
    ),
    # TensorFlow: to be loaded without its start-up lines before a room loads it.
    # models.network: interpolate mixes two.
    # evaluate, report, compare: what compare, train, quickstart and study call for a
    # part of theirs.
    # metrics: fit_niqe makes the parameters of one. export.quick: upscale with a run.
    "programs": (
        {"numpy", "tqdm", "tensorflow"},
        set(
            "build cli evaluation training inference interop core data samples "
            "bundles.bundle bundles.estimated_bundle models.network benchmarks "
            "reporting train_config estimation evaluate report compare run metrics "
            "studies source_first degradations.from_estimate export.quick".split()
        ),
    ),
    # cli: the flags of its programs; samples: the certificate is measured on a
    # photograph, and there has to be one; ops: the geometry of the blur's grid.
    "export": (
        KERAS
        | {"tf2onnx", "onnx", "onnxruntime", "tqdm"}
        | {"tensorflow_serving", "grpc", "google.protobuf", "apache_beam", "kserve"},
        set("models degradations bundles ops core inference cli samples run".split()),
    ),
    # What programs do, as functions on arrays.
    "api": (
        {"keras", "numpy"},
        set(
            "train estimate build bundles cli core degradations estimation evaluation "
            "inference run export.__main__".split()
        ),
    ),
}

_ROOMS_OF_ONE = ("api", "build", "build_parts", "train_config", "run", "__init__")
ABSL_FILES = ("flags", "flag_set", "program")


def modules() -> list[Path]:
    return sorted(
        path
        for package in ("pdm_tf", "export")
        for path in (ROOT / package).rglob("*.py")
    )


def room_of(path: Path) -> str:
    """ "core", ..., "build", "programs" for pdm_tf/*.py, "export"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "export":
        return "export"
    if len(parts) > 2:
        return parts[1]
    return parts[1] if parts[1] in _ROOMS_OF_ONE else "programs"


def imports_of(source: str, package: tuple[str, ...] = ()) -> set[str]:
    """Dotted names of all that a module imports, at any depth of the code.

    `from a.b import c` counts as a.b.c, because c may be a module. `package` is the
    module's own, to resolve relative imports.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *([node.module] if node.module else [])))
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


def violations(path: Path) -> list[str]:
    """Lists a module's imports that the table does not allow."""
    room = room_of(path)
    source = path.read_text(encoding="utf-8")
    package = path.relative_to(ROOT).parent.parts
    # pdm_tf/__init__.py: core, to keep TensorFlow's start-up notes to itself.
    third_party, rooms = TABLE.get(room, (set(), {"core"}))
    if room == "cli" and path.stem.startswith(ABSL_FILES):
        third_party = {*third_party, "absl"}
    bad = []
    for name in sorted(imports_of(source, package)):
        top, _, rest = name.partition(".")
        if top in sys.stdlib_module_names:
            continue
        if top not in ("pdm_tf", "export"):
            if not any(f"{name}.".startswith(f"{entry}.") for entry in third_party):
                bad.append(name)
        elif not _allowed_inside(name, rest, room, rooms):
            bad.append(name)
    return bad


def _allowed_inside(name: str, rest: str, room: str, rooms: set[str]) -> bool:
    """Whether an import of our own package is within the room or its allowed rooms.

    Rooms are of `pdm_tf`; modules of `export` are entered with that name before them.
    """
    if rest in ("", "__version__") or name.split(".")[0] == room == "export":
        return True
    allowed = rooms | ({room} if room not in ("programs", "__init__") else set())
    if name.startswith("export."):
        rest = name
    return any(rest == entry or rest.startswith(f"{entry}.") for entry in allowed)


@pytest.mark.parametrize(
    "path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_module_keeps_to_the_table(path):
    room = room_of(path)
    assert room in TABLE or room == "__init__", f"{room} is not in the import table"
    assert not violations(path), f"{room} may not import {violations(path)}"


def test_the_table_lets_no_tensorflow_into_light_rooms():
    """The promise behind ONNX use without TensorFlow, and of an instant --help."""
    for room in ("core", "run", "cli", "samples", "inference"):
        third_party, rooms = TABLE[room]
        assert not third_party & {"tensorflow", "keras"}
        assert rooms <= {"core"}


def test_the_report_generator_loads_no_tensorflow():
    """Reports are drawn from JSON and arrays; importing all of it shows it."""
    names = [p.stem for p in (ROOT / "pdm_tf" / "reporting").glob("*.py")]
    lines = [f"import pdm_tf.reporting.{name}" for name in names if name != "__init__"]
    check = "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    code = "\n".join(["import sys", *lines, check])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_makes_no_tensor():
    """TensorFlow would start, and refuse virtual devices and several workers later."""
    code = (
        "import pdm_tf.build, pdm_tf.estimation.kernel_pool, pdm_tf.training.trainer\n"
        "from tensorflow.python.eager import context\n"
        "assert not context.context()._initialized\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_rooms_import_only_rooms_before_them():
    """So no two rooms import each other, however indirectly."""
    before = {
        "train",
        "estimate",
        "evaluate",
        "report",
        "compare",
    }  # programs that programs call
    for room, (_, rooms) in TABLE.items():
        ours = {name.split(".")[0] for name in rooms if not name.startswith("export.")}
        assert ours <= before, (room, ours - before)
        before.add(room)


def test_the_architecture_page_has_this_table():
    from tests.support.import_table import with_table

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    update = "python -m tests.support.import_table docs/architecture.md"
    assert page == with_table(page), f"the table has changed: {update}"


def test_rooms_on_disk_have_a_docstring():
    """Every room says at its door what belongs there."""
    for init in sorted((ROOT / "pdm_tf").rglob("__init__.py")):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), init


@pytest.mark.parametrize(
    ("place", "source", "bad"),
    [
        ("core/x.py", "import tensorflow as tf", ["tensorflow"]),
        ("core/x.py", "def f():\n    from absl import flags", ["absl.flags"]),
        ("inference/x.py", "from pdm_tf import ops", ["pdm_tf.ops"]),
        ("training/x.py", "from pdm_tf.methods import base", []),
        (
            "training/x.py",
            "from pdm_tf.methods.pdm_sr import PdmSr",
            ["pdm_tf.methods.pdm_sr.PdmSr"],
        ),
        ("evaluation/x.py", "from ..bundles import bundle", []),
        ("evaluation/x.py", "from ..models import sr", ["pdm_tf.models.sr"]),
        (
            "evaluation/x.py",
            "from pdm_tf.training import logs",
            ["pdm_tf.training.logs"],
        ),
        (
            "evaluation/x.py",
            "from pdm_tf.training import trainer",
            ["pdm_tf.training.trainer"],
        ),
        (
            "reporting/x.py",
            "from pdm_tf.evaluation import panels",
            ["pdm_tf.evaluation.panels"],
        ),
        ("cli/component.py", "from absl import flags", ["absl.flags"]),
        ("cli/flag_set.py", "from absl import flags", []),
        ("train.py", "import pdm_tf.methods.pdm_sr", ["pdm_tf.methods.pdm_sr"]),
        ("train.py", "from pdm_tf import __version__, build", []),
        ("benchmarks/x.py", "from export.onnx_graph import network_to_onnx", []),
        ("benchmarks/x.py", "from export import signatures", ["export.signatures"]),
        ("export_user.py", "from export.core import x", ["export.core.x"]),
        # A prefix of a name is not the room itself.
        ("ops/x.py", "import pdm_tf.core_extra", ["pdm_tf.core_extra"]),
    ],
)
def test_the_check_itself(tmp_path, monkeypatch, place, source, bad):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "pdm_tf" / place
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert violations(path) == bad
