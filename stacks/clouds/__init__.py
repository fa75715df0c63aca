"""One cloud a module, found by its name: `Config` and `GpuHost` (see `stacks.clouds.base`)."""
