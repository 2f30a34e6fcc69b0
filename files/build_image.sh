# Builds a small image from the distribution's own packages, as this host's apt finds them. It holds one program, the
# libraries that it links, and busybox for the health check. Nothing is installed on the host.
# Arguments: the package, the path of its program, the program's name in the image, the image's tag.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"
package=$1 program=$2 target=$3 tag=$4

# A build that was killed leaves its folder behind.
find "${TMPDIR:-/var/tmp}" -maxdepth 1 -user root -name 'homelab-registry.??????' -exec rm -rf {} +
work=$(mktemp -d "${TMPDIR:-/var/tmp}/homelab-registry.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/state/lists/partial" "$work/archives/partial" "$work/root" "$work/image/bin" "$work/image/tmp"
: > "$work/status"

# With an empty status file apt resolves every package that the program needs, whatever is installed here.
apt() { apt-get -q -o DPkg::Lock::Timeout=300 -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" \
    -o Debug::NoLocking=true -o APT::Sandbox::User=root --no-install-recommends "$@" >/dev/null; }
updated=$(apt-get -q -o DPkg::Lock::Timeout=300 update 2>&1) || true
# A mirror that cannot be reached is the cause, and a package that is then not found no more than its effect.
complaint=$(apt --download-only -y install "$package" busybox-static 2>&1) || {
    echo "$updated" | grep -m 1 'Failed to fetch' >&2 || echo "$complaint" >&2
    exit 1
}

(cd "$work/root" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 && ln -s usr/bin usr/sbin usr/lib usr/lib64 .)
for archive in "$work"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$work/root"
done

# The loader itself says what the program links, without running it. It has to run for that, in a folder where CIS
# benchmarks forbid programs; a pipe would hide that it did not.
loader=$(cd "$work/root" && ls lib64/ld-linux-* lib/ld-linux-* 2>/dev/null | head -n 1)
linked=$(chroot "$work/root" "/$loader" --list "$program" 2>&1) || {
    mount=$(findmnt -nro TARGET,OPTIONS -T "$work" 2>/dev/null)
    case ",${mount#* }," in
        (*,noexec,*) echo "no program may run below ${mount%% *}, which is mounted noexec" >&2 ;;
        (*) echo "$linked" >&2 ;;
    esac
    exit 1
}
libraries=$(echo "$linked" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | cut -c 2-)
(cd "$work/root" && tar -ch $libraries "$loader") | tar -x -C "$work/image"
cp "$work/root$program" "$work/image/bin/$target"
cp "$work/root/bin/busybox" "$work/image/bin/busybox"
ln -s busybox "$work/image/bin/sh"
ln -s busybox "$work/image/bin/wget"
chmod 1777 "$work/image/tmp"

# The packages that the image has files of. Before Debian 13 a package has its libraries in /lib, where /usr/lib is now.
(cd "$work/root" && realpath -e --relative-to=. $libraries "$loader" ".$program" bin/busybox) | sed 's#^usr/##' > "$work/files"
packages=
for archive in "$work"/archives/*.deb; do
    if dpkg-deb --fsys-tarfile "$archive" | tar -t | sed 's#^\./##; s#^usr/##' | grep -qxFf "$work/files"; then
        packages="$packages${packages:+,}$(dpkg-deb -W --showformat '${Package}=${Version}' "$archive")"
    fi
done

# An image gets its name once its shell and its program were seen to run: a full disk can leave half of one.
id=$(tar -C "$work/image" --owner=0 --group=0 -c . \
    | docker -H unix:///var/run/docker.sock import --change "LABEL homelab-registry.packages=$packages" -)
docker -H unix:///var/run/docker.sock run --rm --network=none --read-only --cap-drop=ALL --user=60706 --userns=host \
    --security-opt=no-new-privileges "$id" /bin/sh -c "exec /bin/$target -v" >/dev/null 2>"$work/complaint" || {
    echo "the image does not run: $(tail -n 1 "$work/complaint")" >&2
    docker -H unix:///var/run/docker.sock rmi "$id" >/dev/null 2>&1
    exit 1
}
docker -H unix:///var/run/docker.sock tag "$id" "$tag"
