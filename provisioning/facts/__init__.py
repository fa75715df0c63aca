"""Questions to a host: one read-only command and one parser each."""
