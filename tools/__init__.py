"""What a checkout needs around the project: its set-up and its demonstration."""
