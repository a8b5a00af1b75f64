"""How each side does each task: every function returns a `Task` that is ready to run."""
