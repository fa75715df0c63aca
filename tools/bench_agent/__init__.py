"""What this project's load client costs and how wrong it is, beside others."""
