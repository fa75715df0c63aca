"""What makes a host fit: a topic a module, each with ``steps(needs) -> tuple[Step, ...]``."""
