"""The load client: stamp first, think later."""
