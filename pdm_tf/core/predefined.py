"""What the predefined degradations do, in words, for help that loads no TensorFlow.

The names are those of `degradations.DEGRADATIONS`; a conformance test compares them.
"""

ABOUT = {
    "bicubic": "MATLAB's imresize",
    "awgn_blur": "a random anisotropic Gaussian blur and white noise for each image",
    "gaussian_jpeg": "such a blur, JPEG of a random quality, and noise if asked for",
    "real_esrgan": "Real-ESRGAN's two rounds of blur, resizing, noise and JPEG, and a "
    "sinc filter; its target is the HR image sharpened (sharpen=false: as it is)",
    "pool": "kernels and noise from files (kernels=FILE, noise=FILE or folder)",
    "mixed": "one of several for each image (parts=NAME,NAME,..., probabilities=...)",
    "bsrgan": "two blurs, shrinking in two parts, noise and JPEG in a random order, "
    "and JPEG again",
    "bsrgan_plus": "twice blur, resizing, Gaussian, Poisson and multiplicative noise, "
    "with JPEG; its target is the HR image sharpened (sharpen=false: as it is)",
}


def named() -> str:
    """Returns all of them in a row: "`bicubic`, MATLAB's imresize; ..."."""
    return "; ".join(f"`{name}`, {about}" for name, about in ABOUT.items())
