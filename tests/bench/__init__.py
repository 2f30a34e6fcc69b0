"""Whole hosts in containers of one Docker Engine: real systemd, real sshd, real Docker inside."""
