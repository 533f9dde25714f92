"""Pure tensor functions: no state, no flags, no randomness of their own."""
