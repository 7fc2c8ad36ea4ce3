"""What is fast and what is not, side by side in one run: `python -m benchmarks --help`, docs/benchmarks.md."""
