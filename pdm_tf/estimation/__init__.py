"""What photographs say of the camera that took them: blur kernels and noise."""
