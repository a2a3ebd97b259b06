"""The method: torch and numpy only; tensors in, tensors out."""
