# pdm_tf in a container. For the CPU:
#
#   docker build -t pdm_tf .
#   docker run --rm -v "$PWD/photos:/photos" pdm_tf train --flagfile=camera \
#     --hr_dir=/photos/sharp --lr_dir=/photos/mine --run_dir=/photos/run
#
# For an NVIDIA GPU (the host needs its driver and the NVIDIA Container Toolkit; CUDA
# comes with the Python packages):
#
#   docker build -t pdm_tf:gpu --build-arg EXTRAS=gpu,export,upscale .
#   docker run --rm --gpus=all -v "$PWD/photos:/photos" pdm_tf:gpu train ...

FROM python:3.12-slim

ARG EXTRAS=export,upscale

WORKDIR /src
COPY . .
RUN pip install --no-cache-dir ".[${EXTRAS}]"

# What runs write belongs to whoever the folder belongs to: docker run --user.
WORKDIR /photos
ENV HOME=/tmp
ENTRYPOINT ["pdm_tf"]
CMD ["--help"]
