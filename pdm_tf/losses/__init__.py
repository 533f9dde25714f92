"""Losses: plain functions of tensors that know no network."""
