# What is asked for.

check() {
    state=$user_state
    look $(user_parts)
    builder_files | sed "s|.*/||; s|.*|builder: & was created before and does not trust $registry: --recreate-builders|"
    state=$system_state
    look $(system_parts)
}

as_root() { # ARGUMENT...: this script, with root's rights
    if is_root; then
        sh "$script" "$@"
    elif ! has sudo; then
        say "failed: there is no sudo here; as root: sh '$script' $1 '$2'"
    elif [ -z "$yes" ] && ! ask; then
        say "failed: not done without your yes (--yes): sudo sh '$script' $1 '$2'"
    else
        sudo sh "$script" "$@" || say "failed: sudo sh '$script' $1 '$2'"
    fi
}

ask() {
    [ -t 0 ] || return
    printf 'Do that with sudo? [y/N] ' >&2
    read -r answer && case $answer in [yY]*) ;; *) return 1 ;; esac
}

tell() { # FILE: print what was found, and end with 1 if anything is off
    cat "$1"
    [ "$action" = remove ] || [ "$action" = check ] || say "Log in: docker login -u $account $registry (or podman login)"
    ! grep -q '^\(missing\|old\|left\|failed\|builder\):' "$1" || exit 1
}

yes='' no_hosts='' builders='' action=trust
while [ $# -gt 0 ]; do
    case $1 in
    --check | --remove) action=${1#--} ;;
    --yes) yes=yes ;;
    --no-hosts) no_hosts=yes ;;
    --recreate-builders) builders=yes ;;
    --system | --system-remove) action=${1#--} parts=${2-}; shift ;; # what this script starts with sudo
    *) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done

[ -f "$0" ] || stop "save this script to a file first: it starts itself with sudo"
script=$(readlink -f "$0")
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
ca_sum=$(ca | sha256sum | cut -c 1-64)

case $action in
system) umask 022; state=$system_state; take $parts > "$tmp/all"; cat "$tmp/all"; exit 0 ;;
system-remove) state=$system_state; take_back > "$tmp/all"; cat "$tmp/all"; exit 0 ;;
esac

[ -d "${HOME:-}" ] || stop "HOME is no folder"
case $HOME in *"$tab"* | *"
"*) stop "HOME has a tab or a line break in its name" ;; esac
! is_root || [ -z "${SUDO_USER:-}" ] || [ "$SUDO_USER" = root ] || stop "run it as $SUDO_USER, without sudo: it asks before it uses that"
umask 077
config=${XDG_CONFIG_HOME:-$HOME/.config}
user_state=${XDG_STATE_HOME:-$HOME/.local/state}/homelab-registry/$registry
docker_config=${DOCKER_CONFIG:-$HOME/.docker}
buildx=${BUILDX_CONFIG:-$docker_config/buildx}
toml=$buildx/buildkitd.default.toml

case $action in
check) check > "$tmp/all" ;;
remove)
    state=$user_state
    take_back > "$tmp/all"
    if [ -f "$system_state/record" ]; then
        say "To take back, with root's rights:"
        awk -F "$tab" '$1 != "folder" { print "  " $3 }' "$system_state/record"
        as_root --system-remove '' >> "$tmp/all"
    fi
    ;;
trust)
    say "The CA of $registry has this SHA-256; compare it with what make workstation printed:"
    for each in $fingerprints; do say "  $each"; done
    state=$user_state
    take $(user_parts) > "$tmp/failed"
    if [ -n "$builders" ]; then
        builder_files > "$tmp/builders"
        while IFS= read -r file; do recreate "$file" </dev/null; done < "$tmp/builders" >> "$tmp/failed"
    fi
    state=$system_state
    look $(system_parts) | grep '^\(missing\|old\):' > "$tmp/root"
    if [ -s "$tmp/root" ]; then
        say "With root's rights:"
        sed 's/^/  /' "$tmp/root"
        as_root --system "$(system_parts | tr '\n' ' ')" >> "$tmp/failed"
    fi
    { cat "$tmp/failed"; check; } > "$tmp/all"
    ;;
esac
tell "$tmp/all"
