"""Hydra presets: `+rvpo=tool_calling` and others."""
