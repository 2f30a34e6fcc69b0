"""Where the collection of what nothing needs keeps its marks and its trash: beside the images, on the same disk."""

FOLDER = ".homelab-registry.collection"
"""Our folder in that of the images. Root writes there; the containers only look."""

TOLD = f"{FOLDER}/told"
"""What whoever pushes is told to be absent: a file for each digest, named by its hex digits. It holds in a folder that
is named after the present thousand seconds since 1970, and so ends by itself if a run is killed.
"""

LEASE = 1000
"""Seconds. What is told to be absent is so for this long at least, and for twice as long at most."""
