"""The commands of ``trainhooks``, one a file: each has ``run(asked)``, which gives the exit code."""
