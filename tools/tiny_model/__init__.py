"""Makes a model that real engines serve and nobody has to download.

    python -m tools.tiny_model FOLDER

A Llama of two layers with random weights and a tokenizer of its own, the same files on every
machine for the same checkout. It needs the standard library only. What it says makes no sense;
what it costs to say it is real.
"""
