"""Benchmarks: ``python -m benchmarks [NAME...] [--quick] [--full] [--out docs/benchmarks.md]``.

Each row is a ratio of two things that are measured side by side in one run, so that it holds on another machine too.
"""
