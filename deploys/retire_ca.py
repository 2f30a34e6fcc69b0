"""End the overlap of a CA rollover now: hosts no longer trust the old certificate authority, and its key is removed."""

from pyinfra import local

from tasks.run.context import current

current().requests.add("retire CA")
local.include("deploy.py")
