"""`make demo`: the project's main job on the stack `local`, and the proof that nothing is left."""
