"""One module a command: `arguments` names its flags, `run` does it and returns the exit code."""
