"""Desired states: generators of the commands that are missing; none when all is so already."""
