"""Whether a run measures its source first: what --estimate means for this request.

The estimate replaces what PDM-SR learns in joint training in its default form, so
anything else that a request says about the degradation speaks against it.
"""

from typing import NamedTuple

from pdm_tf.build import method_of
from pdm_tf.core.errors import UserError
from pdm_tf.data.sources import holds_shards
from pdm_tf.methods.pdm_sr import PDMSRConfig
from pdm_tf.train_config import TrainConfig

# Flags that describe a learned degradation in a form of its own.
_FORMS = ("kernel_arg", "noise_arg", "jpeg_arg")


class Choice(NamedTuple):
    """Whether to estimate.

    Attributes:
      on: whether to.
      remark: why not, a line for the person who started the run; "" where nobody
        would expect it, e.g. for methods without such a degradation.
    """

    on: bool
    remark: str = ""


def choose(config: TrainConfig, workers: int = 1) -> Choice:
    """Decides for a run that has not begun.

    Args:
      config: of the run.
      workers: machines that train it.

    Raises:
      UserError: --estimate=on, where it cannot work; or a setting of the method is
        unknown.
    """
    if config.estimate == "off":
        return Choice(False)
    _, settings = method_of(config)
    if config.estimate == "on":
        reason = _impossible(config, settings, workers)
        if reason:
            raise UserError(f"--estimate=on {reason}")
        return Choice(True)
    if not isinstance(settings, PDMSRConfig) or settings.training == "sr":
        return Choice(False)  # nothing is learned that could be estimated
    for reason in (_impossible(config, settings, workers), _unasked(config)):
        if reason:
            text = f"the source is not measured first: --estimate {reason}"
            return Choice(False, text)
    return Choice(True)


def _impossible(config: TrainConfig, settings: object, workers: int) -> str:
    """The end of a sentence that begins with --estimate; "" if nothing is wrong."""
    if not isinstance(settings, PDMSRConfig):
        return (
            "is for methods that learn the degradation of --lr_dir, pdm_sr and "
            f"pdm_srgan. Received: --method={config.method}."
        )
    if settings.training != "joint":
        return (
            "makes the degradation and the SR network of one run, training=joint. "
            f"Received: --method_arg=training={settings.training}."
        )
    if config.preset != "default":
        return f"is for --preset=default. Received: --preset={config.preset}."
    given = config.init_degradation or next(
        (text for text in config.init if text.startswith("pdm:")), ""
    )
    if given:
        return f"is what the degradation starts from. Received another start: {given}."
    if workers > 1:
        return (
            f"is made on one machine. Received: {workers} workers. Make it before with "
            "pdm_tf.estimate, and give its folder as --init_degradation."
        )
    for name in ("hr_dir", "lr_dir"):
        place = getattr(config, name)
        if place and holds_shards(place):
            return (
                f"measures photographs in files. Received: --{name}={place}, which "
                "holds TFRecord shards."
            )
    return ""


def _unasked(config: TrainConfig) -> str:
    """Why nobody would expect an estimate, likewise."""
    asked = [
        *(f"--{name}={text}" for name in _FORMS for text in getattr(config, name)),
        *(
            f"--{name}={text}"
            for name in ("net", "net_arg")
            for text in getattr(config, name)
            if text.startswith(("pdm:", "pdm."))
        ),
    ]
    if not asked:
        return ""
    return (
        "measures by itself for the default form of the degradation alone. Received: "
        f"{asked[0]}. (--estimate=on measures all the same.)"
    )
