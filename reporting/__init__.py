"""Reports and listings, made from result directories and nothing else."""
