"""The lab: hosts that look like fresh cloud VMs, as containers with systemd and sshd.

Everything is built by this package from the packages of the machine's own distribution, started
on this machine alone, and removed by name, label or process id. See docs/how-to/lab.md.
"""
