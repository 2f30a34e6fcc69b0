# Builders of buildx have a copy of what they were created with.

builder_files() { # print the file of each builder in a container that has not our certificates
    encoded=$(ca | base64 | tr -d '\n')
    find "$buildx/instances" -type f 2>/dev/null | sort | while IFS= read -r file; do
        ! grep -q '"Driver":"docker-container"' "$file" || grep -qF "\"$encoded\"" "$file" || say "$file"
    done
}

recreate() { # FILE: create the builder again with the same options
    name=$(basename "$1")
    own=$(sed -n 's/.*"buildkitd.toml":"\([^"]*\)".*/\1/p' "$1" | base64 -d)
    options=$(sed -n 's/.*"DriverOpts":{\([^}]*\)}.*/\1/p' "$1")
    node=$(sed -n 's/.*"Nodes":\[{"Name":"\([^"]*\)".*/\1/p' "$1")
    endpoint=$(sed -n 's/.*"Endpoint":"\([^"]*\)".*/\1/p' "$1")
    flags=$(sed -n 's/.*"Flags":\["\([^]]*\)"\].*/\1/p' "$1" | sed 's/","/\n/g')
    [ "$(grep -o '"Endpoint":' "$1" | wc -l)" -eq 1 ] || node=
    case $options$flags in *\\*) node= ;; esac
    case $flags in *' '*) node= ;; esac
    case $own in '' | *"\"$registry\""*) ;; *) node= ;; esac
    if [ -z "$node" ]; then
        say "left: the builder $name has a configuration or nodes of its own: create it again by hand"
        return
    fi
    set -- --driver docker-container --node "$node"
    while [ -n "$options" ]; do # "image":"moby/buildkit","network":"host"
        option=${options%%'","'*}
        if [ "$option" = "$options" ]; then options=; else options=\"${options#*'","'}; fi
        option=$(say "$option" | sed 's/^"//; s/"$//; s/":"/=/')
        set -- "$@" --driver-opt "\"$option\""
    done
    [ -z "$flags" ] || set -- "$@" --buildkitd-flags "$(say $flags)"
    ! grep -qF "\"Name\":\"$name\"" "$buildx/current" 2>/dev/null || set -- "$@" --use
    if ! docker buildx create --name "$name-probe$$" "$@" "$endpoint" >/dev/null; then
        say "failed: the builder $name is as it was"
        return
    fi
    docker buildx rm --keep-state "$name-probe$$" >/dev/null 2>&1
    docker buildx rm --keep-state "$name" >/dev/null 2>&1
    docker buildx create --name "$name" "$@" "$endpoint" >/dev/null ||
        say "failed: docker buildx create --name $name $* $endpoint"
}
