"""Experiments: what a network does, measured beside what theory says. Run from a checkout."""
