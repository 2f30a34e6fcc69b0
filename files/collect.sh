#!/bin/sh
# Carry out the steps of a collection, one in each line of the input. The argument is registry_storage_path.
# Each step can be repeated, and the whole be killed at any point: what is moved is moved by one rename, and lies in the
# trash with the same path until a later run gives it back or deletes it (tasks/storage/collection.py).
set -eu
export LC_ALL=C
images=$1/docker/registry/v2
own=$1/.homelab-registry.collection
umask 022
mkdir -p "$own/condemned" "$own/trash"
exec 9< "$own"
flock -w 120 9 || { echo "another run is collecting" >&2; exit 1; }
moved=0

fail() { echo "$1" >&2; exit 1; }

# Whoever pushes is told absent for long enough to move a hundred files; and what was linked since is known.
look_before_moving() {
    [ -d "$own/told/$((($(date +%s) + 300) / 1000))" ] || fail "clients are not told any more what is being moved; run again"
    rm -rf "$own/fresh"
    mkdir "$own/fresh"
    # What vanishes meanwhile makes find fail, too.
    new_links > "$own/fresh/list" || new_links > "$own/fresh/list" || new_links > "$own/fresh/list"
    while IFS= read -r path; do : > "$own/fresh/${path##*/}"; done < "$own/fresh/list"
}
new_links() {
    find -L "$images/repositories" -ignore_readdir_race -name link -type f -newer "$own/since" -printf '%h\n'
}
use_trash() {
    trash=$own/trash/$(stat -c %Y "$own/since")
    mkdir -p "$trash"
    [ "$(stat -L -c %d "$images/blobs")$(stat -L -c %d "$images/repositories")" = \
        "$(stat -c %d "$trash")$(stat -c %d "$trash")" ] || fail "$images is not on the disk of $own: it cannot be collected"
}
# A folder that the registry could have made: with the owner and mode of the one that it is in.
make_folder() {
    [ ! -d "$1" ] || return 0
    make_folder "${1%/*}"
    mkdir "$1"
    chown --reference="${1%/*}" "$1"
    chmod --reference="${1%/*}" "$1"
}

while IFS=' ' read -r verb one two; do
    case $verb in
        (spare) rm -f "$own/condemned/$one" "$own"/told/*/"${one#*:}" ;;
        (condemn) [ -e "$own/condemned/$one" ] || : > "$own/condemned/$one" ;;
        (begin)
            rm -rf "$own/told" "$own/told.new"
            mkdir "$own/told" "$own/told.new"
            : > "$own/since"
            ;;
        (tell) : > "$own/told.new/${one#*:}" ;;
        (publish)
            thousand=$(($(date +%s) / 1000))
            ln -s $thousand "$own/told/$((thousand + 1))"
            mv "$own/told.new" "$own/told/$thousand"
            ;;
        (wait) sleep "$one" ;;
        (move)
            hex=${one%/*} hex=${hex##*/}
            if [ $((moved % 100)) -eq 0 ]; then use_trash; look_before_moving; fi
            moved=$((moved + 1))
            set -- "$own"/told/*/"$hex"
            if [ -e "$1" ] && [ ! -e "$own/fresh/$hex" ] && [ -f "$images/$one" ]; then
                mkdir -p "$trash/${one%/*}"
                mv "$images/$one" "$trash/$one"
            fi
            ;;
        (back)
            if [ -f "$own/trash/$one/$two" ] && [ ! -e "$images/$two" ]; then
                make_folder "$images/${two%/*}"
                mv -n "$own/trash/$one/$two" "$images/$two"
            fi
            ;;
        (unlink)
            use_trash
            if [ -f "$images/$one" ] && [ ! "$images/$one" -nt "$own/since" ]; then
                mkdir -p "$trash/${one%/*}"
                mv "$images/$one" "$trash/$one"
                # The registry may have written it in the meantime.
                [ ! "$trash/$one" -nt "$own/since" ] || mv -n "$trash/$one" "$images/$one"
            fi
            ;;
        (delete) rm -rf "$own/trash/$one" ;;
        (end)
            rm -rf "$own/told" "$own/told.new" "$own/fresh"
            # Not those of this pass: the registry makes a folder, and then writes into it.
            find "$images/blobs" "$images/repositories" -regextype posix-extended -type d -empty -mmin +"$one" \
                \( -path '*/blobs/*' -o -path '*/_layers/*' -o -path '*/_manifests/*' \) \
                -regex '.*/[0-9a-f]{64}([0-9a-f]{64})?' -delete
            ;;
        (*) fail "collect.sh knows no $verb" ;;
    esac
done
