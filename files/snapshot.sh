# Copies the images of a registry that goes on to a folder, so that each tag of the copy is whole. What points is copied
# before what it points at: tags, the links to manifests and layers, then blobs. Pushes go the other way (distribution,
# registry/handlers/manifests.go). Blobs never change, so they become hard links. Killed anywhere, it begins again.
# Arguments: the images' folder; the copy, which is replaced; a lock file. Prints when the copy was begun.
set -eu
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 077
images=$1 copy=$2 lock=$3
from=$images/docker/registry/v2 to=$copy/docker/registry/v2

exec 9> "$lock"
flock -w 600 9 || { echo "a backup that was begun earlier is still under way (see ps)" >&2; exit 1; }

# What was deleted or written while it was read is no error; anything else is.
check() {
    ! grep -vE ': (No such file or directory|file changed as we read it|File removed before we read it)$|File shrank by|Exiting with failure' \
        "$copy.log" >&2
}
# Of a list of files tar takes one with an inode that it has met for a hard link to that (create.c, trivial_link_count).
# But 3.x replaces links by renaming: the inode of one that was read and replaced is soon another's, of any repository.
copy_links() {
    tar -C "$from" --null --no-recursion --hard-dereference --ignore-failed-read -T - -cf - 2>> "$copy.log" |
        tar -C "$to" -xpf -
    check
}
# 2.8 truncates a link in place before it writes it: copy those again that are not complete.
finish_links() {
    for _ in 1 2 3 4 5; do
        unfinished=$(cd "$to" && grep -rLaE '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$' repositories) || true
        [ -n "$unfinished" ] || return 0
        sleep 0.2
        printf '%s\n' "$unfinished" | tr '\n' '\0' | copy_links
    done
}
# Take out tags that were deleted meanwhile, and print those that were moved so that their manifest came too late.
moved_tags() {
    cd "$to"
    find repositories -path '*/_manifests/tags/*/current/link' | while IFS= read -r link; do
        digest=
        read -r digest < "$link" || :
        [ ! -e "${link%/_manifests/tags/*}/_manifests/revisions/${digest%%:*}/${digest#*:}/link" ] || continue
        if [ -e "$from/$link" ]; then echo "$link"; else rm -rf -- "${link%/current/link}"; fi
    done
}
take() {
    rm -rf -- "$copy"
    mkdir -p -- "$to/repositories" "$to/blobs"
    : > "$copy.log"
    [ -d "$from/repositories" ] || return 0
    cd "$from"
    find repositories \( -name _layers -o -name _uploads \) ! -path '*/_manifests/*' -prune \
        -o -path '*/_manifests/tags/*' -name link -type f -print0 2>> "$copy.log" | copy_links
    find repositories -name _uploads ! -path '*/_manifests/*' -prune -o -path '*/_manifests/tags' -prune \
        -o -name link -type f -print0 2>> "$copy.log" | copy_links
    finish_links
    cd "$from"
    cp "$linked" -- blobs "$to/" 2>> "$copy.log" || check
}

begun=$(date -u +%Y-%m-%d-%H%M%S)
trap '[ $? -eq 0 ] || rm -rf -- "$copy"' EXIT # a half copy would take room for nothing, perhaps the last there is
rm -rf -- "$copy"
mkdir -p -- "$copy"
linked=-al
: > "$copy/one"
if ! ln -- "$copy/one" "$copy/other" 2> /dev/null; then # a file system without hard links needs the space
    linked=-a
    needed=$(du -sk -- "$from/blobs" 2> /dev/null | cut -f 1) free=$(df -k --output=avail -- "$images" | tail -n 1)
    [ "${needed:-0}" -lt "$free" ] || {
        echo "$images has no hard links, and ${free# } KB are free for a snapshot of ${needed:-0} KB" >&2
        exit 1
    }
fi
for _ in 1 2 3; do
    take
    [ -n "$(moved_tags)" ] || break
done
[ ! -f "$images/.homelab-registry" ] || cp -p -- "$images/.homelab-registry" "$copy/"
rm -f -- "$copy.log"
echo "$begun"
