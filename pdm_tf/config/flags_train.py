"""The flags of `python -m pdm_tf.train`: what each means, in which unit.

Names, types and defaults are the fields of `TrainConfig`.
"""

from pdm_tf.config.flag_set import ProgramSpec
from pdm_tf.config.train_config import TrainConfig

_SECTIONS = {
    "Data": {
        "hr_dir": "High-resolution photographs: a folder (PNG, JPEG, WebP, BMP; "
        "searched recursively), or TFRecord shards made by pdm_tf.prepare. Required.",
        "lr_dir": "Low-resolution photographs whose degradation is to be learned; need "
        "not show the same scenes as --hr_dir. The method `supervised` takes their "
        "partners from here, or makes them by bicubic downsampling when it is empty.",
        "val_hr_dir": "Paired photographs for validation, high resolution; empty: no "
        "validation.",
        "val_lr_dir": "Their low-resolution partners, matched by file name.",
        "val_max_images": "Validate on at most this many pairs; 0 takes all.",
        "cache_mb": "Memory for decoded photographs, in MB; what does not fit is "
        "decoded again for each crop.",
        "threads": "Threads that prepare batches; 0 lets TensorFlow choose. The "
        "batches are the same for any number.",
    },
    "Run": {
        "run_dir": "Folder of the run: checkpoints, bundles, logs, pictures. Started "
        "again on the same folder, training goes on where it was. Required.",
        "steps": "Train until this step; may be raised later to train on.",
        "seed": "Decides all randomness of the run (initial weights, crops, latents).",
        "mixed_precision": "Number format of the networks' inner layers; kernels, "
        "quantisation and losses stay float32. bfloat16 is about 3 times faster on "
        "CPUs with bf16 units.",
    },
    "Method and networks": {
        "method": "What to train: `pdm_sr` learns the degradation of --lr_dir together "
        "with the SR network; `pdm_srgan` adds a perceptual and an adversarial loss to "
        "the latter (sharper, lower PSNR; usually from a pdm_sr run: --init_sr, "
        "--init_degradation); `supervised` trains the SR network alone.",
        "preset": "`default` mends the known weaknesses of the published code; `paper` "
        "follows it. Single settings override either.",
        "scale": "How many times larger SR images are than LR images, per side: 1, 2, "
        "3, 4 or 8.",
        "sr_net": "SR network by name, e.g. edsr, rrdbnet.",
        "sr_arg": "A setting of the SR network, e.g. num_blocks=16.",
        "kernel_arg": "A setting of the learned blur kernel, e.g. kernel_size=21, the "
        "default at x4 (5 LR pixels wide at any scale). All: docs/degradation.md.",
        "noise": "Whether the learned degradation adds noise.",
        "noise_arg": "A setting of the learned noise, e.g. conv_size=1 for noise "
        "without correlation. All: docs/degradation.md.",
        "jpeg": "Whether the learned degradation ends in JPEG compression, for LR "
        "photographs that are or once were JPEG files. Takes larger HR patches.",
        "jpeg_arg": "A setting of the learned JPEG quality, e.g. subsampling=444.",
        "discriminator_arg": "A setting of the discriminator, e.g. strides=1,1,1,1,1.",
        "hr_discriminator": "Of pdm_srgan, what judges SR against HR patches: "
        "patchgan, unet (Real-ESRGAN's) or vgg (ESRGAN's; sides of a multiple of 32).",
        "hr_discriminator_arg": "A setting of it, e.g. filters=32.",
        "features": "Of pdm_srgan, the network of the perceptual loss: a bundle of "
        "VGG19 (pdm_tf.import_weights makes it of torchvision's file), or `random` for "
        "trying things out.",
        "features_arg": "A setting of the random one, e.g. filters=16.",
        "method_arg": "A setting of the method.",
        "init_sr": "Start the SR network from this bundle or run folder.",
        "init_degradation": "Start the degradation from this bundle or run folder.",
    },
    "Optimisation": {
        "batch_size": "Patches per step.",
        "lr_patch": "Side of an LR patch in LR pixels; an HR patch has --scale times "
        "as many.",
        "learning_rate": "Learning rate of Adam at the start, for all networks.",
        "lr_milestones": "Steps after which the learning rate is multiplied by "
        "--lr_decay.",
        "lr_decay": "Factor of the learning rate at each milestone, in (0, 1].",
        "clip_norm": "Largest gradient norm of each network; longer ones are scaled "
        "down.",
        "ema_decay": "Decay per step of the averaged weights, in [0, 1); 0 switches "
        "averaging off in effect (the average is the last weights).",
    },
    "Speed and memory": {
        "steps_per_call": "Steps that one call of the compiled graph takes, where "
        "nothing is due in between; more help where a step is short (GPUs).",
        "accumulate": "Compute a step's gradients in this many parts of the batch, one "
        "after the other: less memory, the same --batch_size. (Batch normalisation "
        "then sees the parts.)",
        "recompute": "Compute the SR network's inner activations again for the "
        "gradient instead of keeping them: less memory, about a third more work.",
        "xla": "Compile the method's part of a step with XLA; `auto`: on one GPU. On "
        "CPUs it is slower. It draws other random numbers from the same seed.",
    },
    "Reporting and saving": {
        "log_every": "Steps between lines of metrics.jsonl and TensorBoard scalars.",
        "validate_every": "Steps between validations, and one at the end; 0: never.",
        "save_every": "Steps between checkpoints (and always at the end).",
        "preview_every": "Steps between preview pictures; 0: never.",
        "keep_checkpoints": "How many of the newest checkpoints to keep.",
        "report": "`auto`: a finished run gets a report.html, which shows what was "
        "learned and takes seconds; `off`: not (pdm_tf.report makes it any time).",
        "collapse_alarm": "Look every --log_every steps whether the learned "
        "degradation has collapsed (kernels all alike, a single tap or at their "
        "window's border; noise gone, a colour cast, or in the image's place), and say "
        "once what it is and what helps. It stops nothing; numbers: alarm/... .",
        "progress": "Progress bar on standard error; `auto`: when it is a terminal, "
        "otherwise a plain line every --log_every steps.",
    },
}

SPEC = ProgramSpec(
    module="pdm_tf.train",
    config=TrainConfig,
    intro="Trains a super-resolution network from two folders of photographs that need "
    "not belong together: HR photographs, and LR photographs as they come from the "
    "camera. It learns how the LR photographs were degraded and trains the network to "
    "undo exactly that. Everything is written to --run_dir: the networks to use "
    "(bundles), checkpoints, scores, preview pictures. Ctrl-C or SIGTERM saves and "
    "stops (exit code 75); the same command goes on from there.",
    examples=(
        "python -m pdm_tf.train --flagfile=configs/quickstart.flags",
        "python -m pdm_tf.train --hr_dir=photos/hr --lr_dir=photos/lr --run_dir=runs/a",
    ),
    sections=_SECTIONS,
)
