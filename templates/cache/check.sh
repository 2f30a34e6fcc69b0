#!/bin/sh
# Written by homelab-registry: its next run undoes changes made here.
# What nginx does not do by itself, in its container.
#
# Compares each blob with its digest once all of it is here, and deletes it if it is another: nginx checks no digest. The
# next client who wants it has it asked for again.
# A piece of a blob is a file of nginx's cache, in levels=1:2.
export LC_ALL=C
images={{ cache.STORAGE }}/images
checked={{ cache.STORAGE }}/checked
size={{ cache.PIECE }}

{% include "cache/content.sh" %}
# Each piece with its inode and time of change: one that came again, or was damaged, is another.
list() { find "$images" -type f ! -name '*.*' -exec stat -c '%i %Y %n' {} + 2> /dev/null | sort; }
# From a piece: REGISTRY, "blob", DIGEST and the blob's size, which is 0 in an answer that has all of it.
describe() {
    head -c 2048 "$1" 2> /dev/null | tr -d '\r' | sed -n \
        -e 's/^KEY: \([^ ]* blob sha256:[0-9a-f]*\) bytes=.*/\1/p' -e 's/^Content-Range: bytes .*\///p' | tr '\n' ' '
}
# The path of a blob's piece, by the blob and where the piece begins.
piece() {
    hash=$(printf '%s' "$1 bytes=$2-$(($2 + size - 1))" | md5sum)
    hash=${hash%% *}
    rest=${hash%?}
    echo "$images/${hash#"$rest"}/${rest#"${rest%??}"}/$hash"
}
paths() {
    at=0
    while :; do
        piece "$1" "$at"
        at=$((at + size))
        [ "$at" -lt "$2" ] || break
    done
}
# The content of pieces; fails if one is missing.
content() {
    for path in "$@"; do
        begin=$(begin_of "$path")
        [ "$begin" -gt 0 ] && tail -c +$((begin + 1)) "$path" 2> /dev/null || return 1
    done
}
# Hundredths of a second.
clock() { read -r up _ < /proc/uptime && echo "${up%.*}${up#*.}"; }
# Whether a blob is settled: it is what its digest says, or is deleted. Not yet if a piece is missing.
settle() {
    pieces=$(paths "$1 $2 $3" "${4:-0}")
    ls $pieces > /dev/null 2>&1 || return 1
    found=$(content $pieces | sha256sum)
    [ "sha256:${found%% *}" = "$3" ] && return
    ls $pieces > /dev/null 2>&1 || return 1
    rm -f $pieces
    echo "$1 sent something else for $3: it is deleted from the cache" >&2
}

renice -n 19 -p $$ > /dev/null 2>&1
touch "$checked" /tmp/began
took=0
# However many pieces there are, to list them is a sixth of the time at most.
while sleep $((5 + took / 20)); do
    # nginx reads the host's CAs when it begins.
    if [ {{ bundle }} -nt /tmp/began ]; then
        touch /tmp/began
        nginx -c {{ cache.CONFIG }}/nginx.conf -s reload
    fi
    # nginx neither counts nor removes what was being written at a kill (ngx_http_file_cache_add_file).
    find "$images" "${images%/*}/tags" -name '*.??????????' -mmin +5 -exec rm -f {} +
    find /tmp/places -type f -mmin +1 -exec rm -f {} +
    took=$(clock)
    list > /tmp/pieces
    sort "$checked" "$checked" /tmp/pieces | uniq -u > /tmp/new
    took=$(($(clock) - took))
    [ -s /tmp/new ] || continue
    while read -r inode time path; do
        echo "$path $(describe "$path")"
    done < /tmp/new > /tmp/described
    cut -d ' ' -f 2- /tmp/described | sort -u | while read -r registry kind digest bytes; do
        [ -z "$digest" ] || settle "$registry" "$kind" "$digest" "$bytes" || echo " $digest"
    done > /tmp/unsettled
    grep -F -f /tmp/unsettled /tmp/described | cut -d ' ' -f 1 > /tmp/later
    grep -v -F -f /tmp/later /tmp/pieces > "$checked.new"
    mv -f "$checked.new" "$checked"
done
