"""Networks as they leave training: one table of all, bundles, and chains of them."""
