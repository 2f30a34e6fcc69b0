"""Benchmarks: runs of deploy.py against pyinfra alone and Ansible, and the gateway against a registry without it."""
