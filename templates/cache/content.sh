# A file of nginx's cache is a binary head, the key, the answer's headers, an empty line, and then the content.
# Where that begins, in bytes. A number in the head says it too, but where that number is depends on the processor
# (ngx_http_cache.h, ngx_http_file_cache_header_t). The head may have anything in it, an empty line too.
begin_of() { # FILE
    head -c 4096 "$1" 2> /dev/null | tr '\0' . | LC_ALL=C sed "/^KEY: /,\$ { /^$(printf '\r')\$/q
    }" | wc -c
}
