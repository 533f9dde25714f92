"""All thresholds for a healthy learned degradation, each with its reason.

Two judges use them. The alarm (`methods/collapse.py`) looks at a few fixed samples
while training goes on. The verdict (`reporting/verdict.py`) judges what an evaluation
measured over many images, and the super-resolution network trained with it. Quantities
that both judge have one limit; different quantities have different names.

Units: HR pixels (`_PX`), levels of 8 bit (`_255`), decibels (`_DB`); numbers without a
unit are ratios.
"""

import math

# --- Alarm and verdict: quantities that both can see.

# Standard deviation of the noise: that of the error of rounding to 8 bits (0.29 of a
# level), below which noise cannot be seen in a file.
INVISIBLE_NOISE_255 = 1.0 / math.sqrt(12.0)

# Largest mean difference of a channel of the LR images from the reduced photographs.
# Blur and sampling keep the mean, rounding and JPEG keep it within a level, and noise
# of 15 levels that is cut off at white moves white areas by 6, whole images by less.
# More is a tint, right only where --lr_dir has other colours than --hr_dir.
LR_CAST_255 = 5.0
# Correlation of the LR images with the reduced photographs: below one half they explain
# less than a quarter of its square, the variance. Noise as strong as the picture leaves
# 0.71, a blur of 4 HR pixels at x4 more than 0.9.
LR_CORRELATION = 0.5

# --- Alarm: statements about samples that hold for any data, since without ground truth
# only the samples themselves can be judged.

# Spread of the kernels' widths over their mean: less than a twentieth. The mildest real
# spread measured here (Gaussians of 0.6 to 2.2 px) is a third, paper mode's kernels are
# at 0.16 to 0.34. A source with one blur is below it rightly; the advice says so.
ALIKE_SPREAD = 0.05
# Mean mass of the heaviest tap. The rest changes an image by less than a tenth of a
# pixel's difference from its neighbours. No LR photograph is that sharp.
DELTA_MASS = 0.9
# Mean mass of the outermost ring. A box blur over 21 x 21 taps has 0.18 there; more
# means that the window is too small or that kernels are pushed against it.
BORDER_MASS = 0.2
# Share of the noise's energy that is constant over an image: more than half is a colour
# cast rather than noise. White noise has 1 / pixels of its energy there.
CAST_ENERGY = 0.5
# Share of the noise's variance that is the same for any latent: more than half, and the
# module redraws the image.
REPEATED_VARIANCE = 0.5
# Standard deviation of the noise over that of the clean images: it is the stronger one.
SWALLOWED_CONTRAST = 1.0

# Length of a gradient over the median of the last ones: noise from batch to batch stays
# within ten, jumps by orders of magnitude come before divergence.
EXPLODED_GRADIENT = 1_000.0
# Loss of a discriminator: with least squares its answers are then off by a tenth, where
# neither side winning gives 0.25; with cross-entropy it is sure to 99 %. What is left
# of the generator's gradient says little.
WON_GAME_LOSS = 0.01

# --- Verdict: measured over many images, some of it against the true degradation.

# Standard deviation of the kernels' major width. Collapsed runs measured 0.02 to 0.05;
# distributions of real blur have 0.5 and more.
COLLAPSED_WIDTHS_PX = 0.1
NARROW_WIDTHS_PX = 0.25
# Learned kernels against what was measured of the photographs: factors beyond the 90 %
# interval. The measurement's own bias: mean widths of known sources came out up to 15 %
# off but for long motion, spreads up to a half.
WIDTH_OFF = 1.15
SPREAD_OFF = 1.5
# Largest change of the kernels' mean widths and spreads since the start of training, in
# parts of the mean width, and steps: below both, nothing can be said yet. Training from
# a start that knows nothing moves by a fifth in the first hundreds of steps; 256 drawn
# kernels are known to 0.03.
MOVED = 0.05
EARLY_STEPS = 1_000
# Below this nothing can be said of any degradation that was not measured before.
FEWEST_STEPS = 100
# Mean centre of the kernels: half a pixel costs some tenths of a dB, one pixel half a
# dB.
OFF_CENTRE_PX = 0.25
FAR_OFF_CENTRE_PX = 0.75
# Root mean square of the patches' mean noise: in levels, and in parts of the noise's
# standard deviation. Real noise has a mean of 0 over thousands of pixels.
PATCH_CAST_255 = 1.0
PATCH_CAST_PART = 0.25
# Correlation of the noise with the picture's detail.
CONTENT_CORRELATION = 0.3
# Accuracy of a classifier of synthesised and real LR patches, the lower end of its
# interval: chance is 0.5. Halves of one set of real photographs measured 0.53 to 0.55,
# a delta with learned noise 0.96.
TOLD_APART_ACCURACY = 0.7
# SSIM minus bicubic's: less is the same.
SSIM_DIFFERS = 0.002
# Best-shift PSNR minus PSNR.
SHIFT_GAP_DB = 0.1
LARGE_SHIFT_GAP_DB = 0.5
