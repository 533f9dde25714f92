"""Flags -> frozen dataclasses -> JSON; unknown or badly typed keys are errors."""
