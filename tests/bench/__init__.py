"""Whole hosts in containers of one Docker Engine, with real systemd, sshd and Docker inside."""
