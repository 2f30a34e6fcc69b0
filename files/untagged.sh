#!/bin/sh
# Print NAME@DIGEST of each stored manifest that no tag has and that nothing tagged names: what garbage collection
# keeps although nobody pulls it. Changes nothing. The argument is registry_storage_path.
set -eu
export LC_ALL=C
hex='[0-9a-f]{64}'
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$1/docker/registry/v2/repositories"

find . -path '*/_manifests/tags/*/current/link' -exec grep -hoE "$hex" {} + | sort -u > "$work/kept"
# An empty link is one that is being written (distribution 2.8 truncates them in place).
find . -path '*/_manifests/revisions/*/link' -size +0 | sed -E "s|^\./(.*)/_manifests/.*/($hex)/link|\2 \1|" | sort -u > "$work/all"
# What a kept manifest names is kept: the images of an index, and what those name.
until [ "${count:-0}" -eq "$(wc -l < "$work/kept")" ]; do
    count=$(wc -l < "$work/kept")
    join "$work/kept" "$work/all" | cut -c -64 | sort -u | sed -E 's|^(..).*|../blobs/sha256/\1/&/data|' |
        xargs -r grep -haoE "$hex" | sort -u - "$work/kept" -o "$work/kept"
done
join -v 2 "$work/kept" "$work/all" | sed -E 's|^(.*) (.*)$|\2@sha256:\1|'
