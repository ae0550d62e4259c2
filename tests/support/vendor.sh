# shellcheck shell=bash
# Fetches the packages of npm that api/web/vendor.sha512 names. Sourced by ./dev.
#
#     vendor_ensure ROOT
#
# They arrive in ROOT/build/vendor: each archive, and a folder with the files that are used. The C build
# embeds what is there. Without npm or its registry the function says so and succeeds: the page /docs
# then links the API's description instead of drawing it.

vendor_fetch() {
    local root=$1 into=$2 archive package version
    while read -r _ archive; do
        package=${archive%-*} version=${archive##*-}
        npm pack --silent --ignore-scripts --fetch-retries=1 --fetch-timeout=20000 \
            --pack-destination "$into" "$package@${version%.tgz}" >/dev/null || return 1
    done < <(grep -v '^#' "$root/api/web/vendor.sha512")
    (cd "$into" && sha512sum --check --status "$root/api/web/vendor.sha512") || {
        echo "dev: npm has sent another package than api/web/vendor.sha512 names" >&2
        return 1
    }
    # -m: the archives' times are long past, and a build looks at times.
    mkdir "$into/swagger-ui-dist" "$into/axe-core"
    tar -xzmf "$into"/swagger-ui-dist-*.tgz -C "$into/swagger-ui-dist" --strip-components=1 \
        package/swagger-ui-bundle.js package/swagger-ui-bundle.js.LICENSE.txt package/swagger-ui.css
    tar -xzmf "$into"/axe-core-*.tgz -C "$into/axe-core" --strip-components=1 package/axe.min.js
}

vendor_ensure() {
    local root=$1 new=$1/build/vendor.new
    if (cd "$root/build/vendor" 2>/dev/null && sha512sum --check --status "$root/api/web/vendor.sha512"); then
        return 0
    fi
    if ! command -v npm >/dev/null; then
        echo "dev: npm is not installed, so the page /docs cannot draw the API's description"
        return 0
    fi
    rm -rf "$new"
    mkdir -p "$new"
    if vendor_fetch "$root" "$new"; then
        rm -rf "$root/build/vendor"
        mv "$new" "$root/build/vendor"
    else
        rm -rf "$new"
        echo "dev: npm could not fetch swagger-ui-dist, so the page /docs cannot draw the API's description"
    fi
}
