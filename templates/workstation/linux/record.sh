# The record: a line for each folder and file that was made, and for text that was added to a file of the user's.

recorded() { grep -qxF "$1" "$state/record" 2>/dev/null; }
remember() { recorded "$1" || { make_folders "$state" && say "$1" >> "$state/record"; }; }

make_folders() { # PATH
    new=
    each=$1
    while [ ! -d "$each" ]; do
        new=$each${new:+"
$new"}
        each=$(dirname "$each")
    done
    [ -n "$new" ] || return 0
    mkdir -p "$1" && printf '%s\n' "$new" | sed "s/^/folder$tab/" >> "$state/record"
}
