"""An OpenAI-compatible server with a known clock: what the client is measured against."""
