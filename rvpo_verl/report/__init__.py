"""What a training logged: curves, plots, the best step."""
