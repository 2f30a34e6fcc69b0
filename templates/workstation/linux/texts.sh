# Text in files of the user's: buildx' default configuration, and /etc/hosts.

without() { # FILE TEXT-FILE [HOW]: print a file without a text, as it was before; fail if the text is not in it
    ended=yes
    [ -z "$(tail -c 1 "$1")" ] || ended=
    awk -v ended="$ended" -v how="${3:-$(how_added "$1")}" '
        NR == FNR { text[++n] = $0; next }
        { line[++m] = $0 }
        END {
            for (at = 1; at <= m - n + 1; at++) {
                for (i = 1; i <= n && line[at + i - 1] == text[i]; i++);
                if (i > n) break
            }
            if (at > m - n + 1) exit 1
            if (at + n - 1 == m) { last = at - 1; end = how == "line" ? "" : "\n" }
            else { last = m; end = ended ? "\n" : "" }
            for (i = 1; i <= last; i++)
                if (i < at || i >= at + n) printf "%s%s", line[i], (i == last ? end : "\n")
        }' "$2" "$1"
}

how_added() { # FILE: "file" if it was made for the text, "line" if the last line before it had no end, else "whole"
    awk -F "$tab" -v path="$1" '$1 == "text" && $3 == path { how = $2 } END { print how }' "$state/record" 2>/dev/null
}

rewrite() { # FILE: give it another content, from standard input, and keep owner, mode and links
    target=$(readlink -f "$1") && cp -p "$target" "$target.homelab-new" && cat > "$target.homelab-new" || return
    mv -f "$target.homelab-new" "$target" 2>/dev/null && return
    cat "$target.homelab-new" > "$target" && rm -f "$target.homelab-new" # a mount, as in a container
}

add_text() { # FILE: append what is in $tmp/text, in place of what was added before
    make_folders "$state" && make_folders "$(dirname "$1")" || return
    if without "$1" "$state/added" > "$tmp/without" 2>/dev/null; then
        rewrite "$1" < "$tmp/without" || return
    fi
    how=whole
    [ -e "$1" ] || how="file"
    [ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ] || how=line
    [ "$(how_added "$1")" = file ] || remember "text$tab$how$tab$1"
    cp "$tmp/text" "$state/added" && { [ "$how" != line ] || say >> "$1"; } && cat "$tmp/text" >> "$1"
}

others_text() { # FILE: print it without what is ours
    without "$1" "$state/added" 2>/dev/null || without "$1" "$tmp/text" 2>/dev/null || cat "$1"
}

toml_text() {
    ca_path=$(printf '%s' "$docker_config/certs.d/$registry/ca.crt" | sed 's/[\\"]/\\&/g')
    say "# homelab-registry: what builders of buildx need for $registry"
    for endpoint in $endpoints $mirror; do
        printf '[registry."%s"]\n  ca = ["%s"]\n' "$endpoint" "$ca_path"
    done
    for upstream in $mirrored; do
        printf '[registry."%s"]\n  mirrors = ["%s"]\n' "$upstream" "$mirror"
    done
}

toml_state() {
    mirrored=$upstreams
    toml_text > "$tmp/text"
    [ -e "$toml" ] || { say "missing: $toml"; return; }
    others_text "$toml" > "$tmp/others" || { say "left: $toml cannot be read"; return; }
    kept=
    for name in $endpoints $mirror $upstreams; do
        line=$(grep -nF -e "\"$name\"" -e "'$name'" "$tmp/others" | grep -v '^[0-9]*: *#' | head -n 1)
        case " $endpoints " in *" $name "*) ours=yes ;; *) ours= ;; esac
        if [ -n "$line" ] && [ -n "$ours" ]; then
            say "left: $toml has lines of yours about it: line $line"
            return
        fi
        [ -z "$line" ] || kept="$kept $name"
    done
    line=$(grep -n '^ *registry *=' "$tmp/others" | head -n 1)
    [ -z "$line" ] || { say "left: $toml has a table that nothing can be added to: line $line"; return; }
    for name in $kept; do
        say "note: $toml has lines of yours about $name, so builders do not ask the registry's cache of it"
        mirrored=$(say " $mirrored " | sed "s| $name | |; s/^ *//; s/ *$//")
    done
    toml_text > "$tmp/text"
    if without "$toml" "$state/added" >/dev/null 2>&1; then
        if cmp -s "$tmp/text" "$state/added"; then say "ok: $toml"; else say "old: what builders need in $toml"; fi
    elif without "$toml" "$tmp/text" >/dev/null 2>&1; then
        say "ok: $toml"
    else
        say "missing: what builders need in $toml"
    fi
}

resolve() { # NAME
    if has timeout; then timeout 15 getent ahosts "$1"; else getent ahosts "$1"; fi | awk '{ print $1 }' | sort -u
}

hosts_text() { say "$address $names # homelab-registry"; }

hosts_state() {
    hosts_text > "$tmp/text"
    if without "$hosts_file" "$state/added" >/dev/null 2>&1; then
        if cmp -s "$tmp/text" "$state/added"; then say "ok: $hosts_file"; else say "old: our line in $hosts_file"; fi
        return
    fi
    unknown='' other=''
    for name in $names; do
        line=$(awk -v name="$name" '{ text = $0; sub(/#.*/, ""); for (i = 2; i <= NF; i++)
            if (tolower($i) == name) { print $1, "line " NR ": " text; exit } }' "$hosts_file" 2>/dev/null)
        if [ -n "$line" ]; then
            [ "${line%% *}" = "$address" ] && continue
            say "left: $hosts_file gives $name another address than $address, ${line#* }"
            other=yes
            continue
        fi
        found=$(resolve "$name")
        if [ -z "$found" ]; then
            unknown="$unknown $name"
        elif ! say "$found" | grep -qxF "$address"; then
            say "note: $name has the address $(say "$found" | head -n 1) here, and $address for the registry itself"
        fi
    done
    if [ -n "$other" ]; then
        return
    elif [ -n "$unknown" ]; then
        say "missing: a line in $hosts_file, since no DNS here knows$unknown"
        ! grep -qi microsoft /proc/version 2>/dev/null ||
            say "note: WSL makes $hosts_file from that of Windows at each start: put the name there"
    else
        say "ok: the address of $registry"
    fi
}
