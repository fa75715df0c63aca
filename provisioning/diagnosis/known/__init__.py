"""Known failures, one module a topic, each with its `FAILURES`. No list to edit."""
