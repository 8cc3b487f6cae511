"""nice_np side by side with PyTorch and JAX, and with what the machine could do at best: ``python -m benchmarks``."""
