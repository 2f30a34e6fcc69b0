"""A fake credential helper, `docker-credential-fake`: it speaks Docker's protocol and keeps logins in plain files.

If `~/.fake-logins/broken` exists, every command fails; if `~/.fake-logins/full` exists, `store` fails.
"""

HELPER = r"""#!/bin/sh
folder=$HOME/.fake-logins
[ ! -e "$folder/broken" ] || { echo 'exit status 2: gpg: decryption failed: No secret key'; exit 1; }
file() { printf '%s/%s' "$folder" "$(printf '%s' "$1" | sha256sum | cut -c 1-16)"; }
case $1 in
    (get)
        name=$(cat)
        [ -e "$(file "$name")" ] || { echo 'credentials not found in native keychain'; exit 1; }
        cat "$(file "$name")" ;;
    (store)
        [ ! -e "$folder/full" ] || { echo 'not implemented'; exit 1; }
        given=$(cat)
        umask 077
        mkdir -p "$folder"
        printf '%s' "$given" > "$(file "$(printf '%s' "$given" | sed 's/.*"ServerURL": *"\([^"]*\)".*/\1/')")" ;;
    (erase) rm -f "$(file "$(cat)")" ;;
    (list) echo '{}' ;;
    (*) exit 1 ;;
esac
"""
