"""`fab provision` beside pyinfra and Ansible: the same operations on the same lab hosts, timed."""
