# Certificates: what is in the way of one is not overwritten.

cert_paths() { # PART...
    for part; do
        case $part in
        docker) folder=/etc/docker ;;
        snap) folder=/var/snap/docker/current/etc/docker ;;
        containerd) folder=/etc/containerd ;;
        rootless) folder=$config/docker ;;
        nerdctl) folder=$config/containerd ;;
        podman) folder=$HOME/.config/containers ;;
        buildx) folder=$docker_config ;;
        *) continue ;;
        esac
        for endpoint in $endpoints; do say "$folder/certs.d/$endpoint/ca.crt"; done
    done
}

has_all() { # PATH: whether all our certificates are in a file
    found=$(tr -d '\r\n' < "$1" 2>/dev/null) || return 1
    for certificate in $(ca | tr -d '\n' | sed 's/-----BEGIN CERTIFICATE-----/ /g; s/-----END CERTIFICATE-----/ /g'); do
        case $found in *"$certificate"*) ;; *) return 1 ;; esac
    done
}

cert_state() { # PATH
    beside=$(dirname "$1")/hosts.toml
    if [ -e "$beside" ] && ! grep -qF ca.crt "$beside"; then
        say "left: $beside decides there, and does not name ca.crt"
    elif [ ! -e "$1" ] && [ ! -L "$1" ]; then
        say "missing: $1"
    elif has_all "$1" && { [ "$(sum "$1")" = "$ca_sum" ] || ! recorded "file$tab$(sum "$1")$tab$1"; }; then
        say "ok: $1"
    elif [ ! -r "$1" ]; then
        say "left: $1 cannot be read"
    elif [ ! -L "$1" ] && recorded "file$tab$(sum "$1")$tab$1"; then
        say "old: $1"
    else
        say "left: $1 has another certificate: $(grep -v -- ----- "$1" | head -n 1 | cut -c 1-40)..."
    fi
}

put_cert() { # PATH
    remember "file$tab$ca_sum$tab$1" && make_folders "$(dirname "$1")" && ca > "$1.homelab-new" && mv -f "$1.homelab-new" "$1"
}
