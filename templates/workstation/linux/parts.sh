# Which parts this machine has.

user_parts() {
    if has docker && docker buildx version >/dev/null 2>&1; then say buildx; fi
    ! is_rootless || say rootless
    if has podman || has buildah || has skopeo; then say podman; fi
    [ ! -e "$config/systemd/user/containerd.service" ] || say nerdctl
}

is_rootless() { [ -S "${XDG_RUNTIME_DIR:-/nowhere}/docker.sock" ] || [ -e "$config/systemd/user/docker.service" ]; }

rootless_state() { # it has a copy of /etc/hosts from its start (rootlesskit, pkg/child/hosts.go)
    its_hosts=/proc/$(cat "${XDG_RUNTIME_DIR:-/nowhere}/docker.pid" 2>/dev/null)/root/etc/hosts
    for name in $names; do
        if grep -qwF "$name" "$hosts_file" && [ -r "$its_hosts" ] && ! grep -qwF "$name" "$its_hosts"; then
            say "left: the rootless Docker read $hosts_file before $name was there: systemctl --user restart docker"
        fi
    done
}

system_parts() {
    if [ -d /var/snap/docker/current ]; then say snap
    elif [ -S /var/run/docker.sock ] || { ! is_rootless && { has dockerd || [ -d /etc/docker ]; }; }; then say docker; fi
    if has nerdctl || [ -d /etc/containerd/certs.d ]; then say containerd; fi
    [ -n "$no_hosts" ] || say hosts
}

look() { # PART...: print the state of each thing
    cert_paths "$@" | while IFS= read -r path; do cert_state "$path"; done
    case " $* " in *' buildx '*) toml_state ;; esac
    case " $* " in *' hosts '*) hosts_state ;; esac
    case " $* " in *' rootless '*) rootless_state ;; esac
}

take() { # PART...: do what is missing
    cert_paths "$@" > "$tmp/paths"
    while IFS= read -r path; do
        case $(cert_state "$path") in
        missing:* | old:*) put_cert "$path" || say "failed: $path" ;;
        esac
    done < "$tmp/paths"
    case " $* " in *' buildx '*) toml_state > "$tmp/state"; take_text "$toml" ;; esac
    case " $* " in *' hosts '*) hosts_state > "$tmp/state"; take_text "$hosts_file" ;; esac
}

take_text() { # FILE
    ! grep -q '^missing:\|^old:' "$tmp/state" || add_text "$1" || say "failed: $1"
}

take_back() { # undo what the record says, the last first
    [ -f "$state/record" ] || return 0
    sed '1!G;h;$!d' "$state/record" > "$tmp/record"
    while IFS=$tab read -r kind value path; do
        case $kind in
        file) [ ! -f "$path" ] || [ "$(sum "$path")" != "$value" ] || rm -f "$path" || say "failed: $path" ;;
        text) take_text_back "$path" "$value" ;;
        esac
    done < "$tmp/record"
    awk -F "$tab" '$1 == "file" && !seen[$3]++ { print $3 }' "$tmp/record" > "$tmp/paths"
    while IFS= read -r path; do
        rm -f "$path.homelab-new" # of a run that was killed
        [ ! -e "$path" ] || say "left: $path was changed since: $(grep -v -- ----- "$path" | head -n 1 | cut -c 1-40)..."
    done < "$tmp/paths"
    rm -f "$state/record" "$state/added"
    while IFS=$tab read -r kind path; do
        [ "$kind" != folder ] || rmdir "$path" 2>/dev/null
    done < "$tmp/record"
}

take_text_back() { # FILE HOW
    [ -e "$1" ] && [ -f "$state/added" ] || return 0
    rm -f "$(readlink -f "$1").homelab-new"
    if [ "$2" = file ] && [ ! -s "$1" ]; then
        rm -f "$1" || say "failed: $1"
    elif ! without "$1" "$state/added" "$2" > "$tmp/without"; then
        line=$(grep -n homelab-registry "$1" | head -n 1)
        [ -z "$line" ] || say "left: $1 was changed since: line $line"
    elif [ "$2" = file ] && [ ! -s "$tmp/without" ]; then
        rm -f "$1" || say "failed: $1"
    else
        rewrite "$1" < "$tmp/without" || say "failed: $1"
    fi
}
