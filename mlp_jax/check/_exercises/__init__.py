"""Exercises: Python files with a backward pass, in which known mistakes are planted, and how visible each one is."""
