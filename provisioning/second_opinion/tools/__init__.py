"""Other clients, one module each, found by its name; see `provisioning.second_opinion.base`."""
