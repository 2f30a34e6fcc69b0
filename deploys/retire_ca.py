"""Retire the old CA of a rollover now: remove it from every host, then delete its key."""

from pyinfra import local

from tasks.run.context import current

current().requests.add("retire CA")
local.include("deploy.py")
