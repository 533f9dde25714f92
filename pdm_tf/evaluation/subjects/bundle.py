"""A trained network of ours: a run folder, or one bundle."""

from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start
from pdm_tf.evaluation.subjects.base import SubjectRequest, UpscalingSubject
from pdm_tf.run import Run, find_bundle, is_bundle


def matches(location: str) -> bool:
    """Whether this is a bundle, or a run folder with or without bundles yet."""
    return is_bundle(location) or Run(location).is_started


def open_bundle(request: SubjectRequest) -> UpscalingSubject:
    """Loads the SR network.

    Raises:
      UserError: no bundle in the run yet, or one that is not an SR network.
    """
    # TensorFlow takes seconds to import: not before cheaper checks have passed, and
    # not at all for kinds that do not need it.
    with quiet_start():
        from pdm_tf.bundles.bundle import load_bundle
        from pdm_tf.evaluation.upscale import keras_upscaler

        path = find_bundle(request.location, weights=request.weights)
        bundle = load_bundle(path)
    if bundle.role != "sr":
        raise UserError(
            f"--model must be a super-resolution network. Received: {path}, which has "
            f"the role {bundle.role!r}."
        )
    upscale = keras_upscaler(
        bundle.network, bundle.scale, tile=request.tile, overlap=request.overlap
    )
    return UpscalingSubject(
        name=f"{bundle.name} ({path.name}, step {bundle.step})",
        label=bundle.name,
        scale=bundle.scale,
        upscale=upscale,
        facts={
            "kind": "bundle",
            "network": bundle.name,
            "bundle": path.name,
            "step": bundle.step,
            "sha256": bundle.sha256,
        },
    )
