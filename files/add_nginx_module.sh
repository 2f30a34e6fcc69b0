# Follows build_image.sh in the same shell: adds a module of the program, and the libraries that it links, to the image.
# Further arguments: the path of the module, the tag of the image with it.
module=$5 complete=$6

linked=$(chroot "$work/root" "/$loader" --list "$module" 2>&1) || { echo "$linked" >&2; exit 1; }
libraries=$(echo "$linked" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | cut -c 2-)
(cd "$work/root" && tar -ch $libraries "${module#/}") | tar -x -C "$work/image"

(cd "$work/root" && realpath -e --relative-to=. $libraries ".$module") | sed 's#^usr/##' >> "$work/files"
packages=
for archive in "$work"/archives/*.deb; do
    if dpkg-deb --fsys-tarfile "$archive" | tar -t | sed 's#^\./##; s#^usr/##' | grep -qxFf "$work/files"; then
        packages="$packages${packages:+,}$(dpkg-deb -W --showformat '${Package}=${Version}' "$archive")"
    fi
done

id=$(tar -C "$work/image" --owner=0 --group=0 -c . \
    | docker -H unix:///var/run/docker.sock import --change "LABEL homelab-registry.packages=$packages" -)
docker -H unix:///var/run/docker.sock run --rm --network=none --read-only --tmpfs=/tmp --cap-drop=ALL --user=60706 \
    --userns=host --security-opt=no-new-privileges "$id" /bin/sh -c "echo 'load_module $module; pid /tmp/pid;
    error_log stderr; events {} http { access_log off; client_body_temp_path /tmp; proxy_temp_path /tmp;
    fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp; }' > /tmp/conf && exec /bin/$target -t -c /tmp/conf" \
    >/dev/null 2>"$work/complaint" || {
    echo "the image's module does not run: $(grep -m 1 emerg "$work/complaint")" >&2
    docker -H unix:///var/run/docker.sock rmi "$id" "$tag" >/dev/null 2>&1
    exit 1
}
docker -H unix:///var/run/docker.sock tag "$id" "$complete"
docker -H unix:///var/run/docker.sock rmi "$tag" >/dev/null 2>&1 || true
