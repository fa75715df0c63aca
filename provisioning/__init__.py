"""What is true on a host, over SSH."""
