#!/bin/sh
# Gets surefoot, checks it, and runs it with the arguments that this script is given:
#
#   curl -fsSL https://…/install.sh | sh -s -- install services --proxy http://proxy.corp:3128
#
# Needs curl or wget, and something that can check a SHA-256. Settings, besides those of surefoot itself (--proxy, --proxy-user,
# --proxy-password-file, --no-proxy, --ca-file, and the environment: http_proxy, SUREFOOT_PROXY …):
#
#   SUREFOOT_MIRROR             where else the release is: a URL of a folder
#   SUREFOOT_BIN_DIR            where the program goes (/usr/local/bin)
#   SUREFOOT_REQUIRE_SIGNATURE  1: refuse where the signature cannot be checked, too
#
# All of it is functions, called on the last line: cut off anywhere, it does nothing.
set -u

VERSION='@VERSION@'
URL='@URL@'
PUBLIC_KEY='@PUBLIC_KEY@'
SHA256_x86_64='@SHA256_x86_64@'
SHA256_aarch64='@SHA256_aarch64@'

say() {
    printf 'surefoot: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# the value of option $1 among the arguments that follow; nothing where it is not there
option() {
    wanted=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        "$wanted")
            printf '%s' "${2-}"
            return 0
            ;;
        "$wanted"=*)
            printf '%s' "${1#*=}"
            return 0
            ;;
        esac
        shift
    done
}

# $1 with every byte percent-encoded
encoded() {
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# which file of the release this machine runs, and its checksum
choose_file() {
    [ "$(uname -s)" = Linux ] || die "this is $(uname -s); surefoot is for Linux"
    case $(uname -m) in
    x86_64 | amd64) arch=x86_64 sum=$SHA256_x86_64 ;;
    aarch64 | arm64) arch=aarch64 sum=$SHA256_aarch64 ;;
    *) die "this machine is a $(uname -m); surefoot is built for x86_64 and aarch64" ;;
    esac
    case $sum in
    *[!0-9a-f]* | '') die "this script has no checksum for $arch: get the one that belongs to the release" ;;
    esac
    [ ${#sum} -eq 64 ] || die "the checksum for $arch in this script is damaged: get the script again"
    file=surefoot-$VERSION-$arch-linux
}

# proxy, login and CA, for curl and wget
set_network() {
    proxy=$(option --proxy "$@")
    proxy=${proxy:-${SUREFOOT_PROXY-}}
    user=$(option --proxy-user "$@")
    user=${user:-${SUREFOOT_PROXY_USER-}}
    no=$(option --no-proxy "$@")
    no=${no:-${SUREFOOT_NO_PROXY-}}
    ca=$(option --ca-file "$@")
    ca=${ca:-${SUREFOOT_CA_FILE-}}
    from=$(option --proxy-password-file "$@")
    from=${from:-${SUREFOOT_PROXY_PASSWORD_FILE-}}
    if [ -n "$ca" ] && [ ! -r "$ca" ]; then die "cannot read the CA file $ca"; fi
    case $proxy in
    '') ;;
    none | direct) unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY ;;
    *)
        case $proxy in
        *://*) ;;
        *) proxy=http://$proxy ;;
        esac
        if [ -n "$user" ]; then
            password=${SUREFOOT_PROXY_PASSWORD-}
            if [ "$from" = - ]; then
                die "--proxy-password-file -: standard input is this script; give the password in a file or as SUREFOOT_PROXY_PASSWORD"
            elif [ -n "$from" ]; then
                [ -r "$from" ] || die "cannot read the password file $from"
                IFS= read -r password <"$from" || [ -n "$password" ] || die "the password file $from is empty"
            fi
            proxy=${proxy%%://*}://$(encoded "$user"):$(encoded "$password")@${proxy#*://}
        fi
        http_proxy=$proxy https_proxy=$proxy
        export http_proxy https_proxy
        ;;
    esac
    if [ -n "$no" ]; then
        no_proxy=$no
        export no_proxy
    fi
}

# gets $1 into $2; goes on with what is there of it
fetch() {
    if have curl; then
        set -- "$1" "$2" -fsSL --retry 3 --connect-timeout 20 -C -
        [ -z "$ca" ] || set -- "$@" --cacert "$ca"
        case $ca/$proxy in
        ?*/https://*) set -- "$@" --proxy-cacert "$ca" ;;
        esac
        url=$1 to=$2
        shift 2
        curl "$@" -o "$to" "$url" && return 0
        # one that broke off is gone on with once; what cannot be gone on with is got anew
        [ -s "$to" ] || return 1
        curl "$@" -o "$to" "$url" && return 0
        rm -f "$to"
        curl "$@" -o "$to" "$url"
    elif have wget; then
        url=$1 to=$2
        set -- -q -c
        # busybox has a wget without this; the checksum is what counts
        if [ -n "$ca" ] && wget --help 2>&1 | grep -q -e --ca-certificate; then set -- "$@" "--ca-certificate=$ca"; fi
        wget "$@" -O "$to" "$url" && return 0
        [ -s "$to" ] || return 1
        wget "$@" -O "$to" "$url" && return 0
        rm -f "$to"
        wget "$@" -O "$to" "$url"
    else
        die "needs curl or wget: install one of them, or copy $file by hand from ${SUREFOOT_MIRROR:-$URL}"
    fi
}

# the SHA-256 of $1, by whatever this machine has; nothing where it has nothing
sha256() {
    if have sha256sum; then
        sha256sum <"$1" 2>/dev/null
    elif have shasum; then
        shasum -a 256 <"$1" 2>/dev/null
    elif have openssl; then
        openssl dgst -sha256 -r <"$1" 2>/dev/null
    elif have busybox; then
        busybox sha256sum <"$1" 2>/dev/null
    fi | sed -n '1s/^\([0-9a-f]\{64\}\)[^0-9a-f].*/\1/p'
}

# does $1 have the checksum that this script knows?
right_sum() {
    found=$(sha256 "$1")
    [ -n "$found" ] || die "cannot check the download: install one of sha256sum, shasum, openssl or busybox"
    [ "$found" = "$sum" ]
}

# is there an openssl that can verify what minisign signs?
openssl_can() {
    have openssl && have dd || return 1
    openssl pkeyutl -help 2>&1 | grep -q -e -rawin || return 1
    openssl list -public-key-algorithms 2>/dev/null | grep -qi ed25519
}

# verifies $1 with its signature $2 by openssl; the format is that of minisign, prehashed: 2 bytes of algorithm, 8 of key id, 64 of
# signature over the BLAKE2b-512 of the file; and another 64 over that signature and the trusted comment
verify_by_openssl() {
    sed -n 2p "$2" | openssl base64 -d -A >"$work/sig.raw" &&
        [ "$(dd if="$work/sig.raw" bs=1 count=2 2>/dev/null)" = ED ] &&
        dd if="$work/sig.raw" of="$work/sig" bs=1 skip=10 count=64 2>/dev/null &&
        printf '%s\n' "$PUBLIC_KEY" | openssl base64 -d -A | dd of="$work/key" bs=1 skip=10 count=32 2>/dev/null &&
        {
            echo '-----BEGIN PUBLIC KEY-----'
            # what every Ed25519 key begins with
            printf 'MCowBQYDK2VwAyEA%s\n' "$(openssl base64 -A <"$work/key")"
            echo '-----END PUBLIC KEY-----'
        } >"$work/key.pem" &&
        openssl dgst -blake2b512 -binary <"$1" >"$work/hash" &&
        openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/hash" -sigfile "$work/sig" >/dev/null 2>&1 &&
        sed -n 4p "$2" | openssl base64 -d -A >"$work/sig.all" &&
        {
            cat "$work/sig"
            printf '%s' "$(sed -n '3s/^trusted comment: //p' "$2")"
        } >"$work/said" &&
        openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/said" -sigfile "$work/sig.all" >/dev/null 2>&1
}

check_signature() {
    if have minisign; then
        by=minisign
    elif openssl_can; then
        by=openssl
    elif [ "${SUREFOOT_REQUIRE_SIGNATURE-}" = 1 ]; then
        die "cannot check the signature: install minisign, or OpenSSL 3"
    else
        return 0
    fi
    rm -f "$work/$file.minisig"
    fetch "$base/$file.minisig" "$work/$file.minisig" || die "cannot get the signature $base/$file.minisig"
    if [ $by = minisign ]; then
        minisign -Vq -m "$1" -x "$work/$file.minisig" -P "$PUBLIC_KEY" >/dev/null 2>&1
    else
        verify_by_openssl "$1" "$work/$file.minisig"
    fi || die "the signature of $file is not right: do not use it (checked by $by)"
    (cd "$work" && rm -f "$file.minisig" sig sig.raw sig.all key key.pem hash said)
}

# can a program be run from folder $1?
runs_programs() {
    mkdir -p "$1" 2>/dev/null && [ -w "$1" ] || return 1
    probe=$1/.surefoot-probe-$$
    (umask 077 && printf '#!/bin/sh\nexit 0\n' >"$probe") 2>/dev/null && chmod 700 "$probe" 2>/dev/null && "$probe" 2>/dev/null
    result=$?
    rm -f "$probe"
    return $result
}

# a folder of our own, for the download: the same next time, so that half of one is gone on with
choose_work() {
    for parent in "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}" "${TMPDIR:-/tmp}" /var/tmp /dev/shm .; do
        work=$parent/surefoot-$(id -u)
        # somebody else's folder of that name is not used
        (umask 077 && mkdir -p "$parent" && { [ -d "$work" ] || mkdir "$work"; }) 2>/dev/null || continue
        if [ ! -L "$work" ] && [ -O "$work" ] 2>/dev/null && chmod 700 "$work" 2>/dev/null && [ -w "$work" ]; then return 0; fi
    done
    die "found no folder to write to: set TMPDIR"
}

get() {
    base=${SUREFOOT_MIRROR:-$URL}
    base=${base%/}
    say "getting $base/$file"
    part=$work/$file.part
    fetch "$base/$file" "$part" || die "cannot get $base/$file: check the address, the proxy (--proxy) and the CA (--ca-file)"
    if ! right_sum "$part"; then
        # what was there of it may have been of something else
        rm -f "$part"
        fetch "$base/$file" "$part" || die "cannot get $base/$file"
        right_sum "$part" || {
            rm -f "$part"
            die "the checksum of $base/$file is $found, and should be $sum: it is damaged, or not ours"
        }
    fi
    check_signature "$part"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# puts the program where it is found again, if that can be done, and says where it is
place() {
    bin=${SUREFOOT_BIN_DIR:-/usr/local/bin}
    for program in "$work/surefoot" "$bin/surefoot"; do
        if [ -f "$program" ] && right_sum "$program"; then return 0; fi
    done
    get
    chmod 755 "$part"
    # shellcheck disable=SC2016 # expanded by the shell that is started
    if as_root sh -c 'mkdir -p "$2" && cp "$1" "$2/.surefoot.new" && chmod 755 "$2/.surefoot.new" && mv "$2/.surefoot.new" "$2/surefoot"' \
        sh "$part" "$bin" 2>/dev/null && "$program" --version >/dev/null 2>&1; then
        rm -f "$part"
        return 0
    fi
    for folder in "$work" /opt /run /var/lib "${HOME:-/nonexistent}"; do
        if runs_programs "$folder"; then
            program=$folder/surefoot
            mv "$part" "$program" && chmod 755 "$program" && say "cannot write to $bin: the program is $program" && return 0
        fi
    done
    die "found no folder that programs can be run from: set SUREFOOT_BIN_DIR"
}

# a variable as a line that a shell reads back, whatever it holds
assignment() {
    printf "%s='" "$1"
    printf '%s' "$2" | sed "s/'/'\\\\''/g"
    printf "'\n"
}

# runs the program as root. sudo drops the environment, and a command line is no place for a password: it goes by a file of our own,
# which is removed before the program begins
run() {
    [ $# -gt 0 ] || set -- --help
    input=/dev/null
    if (: </dev/tty) 2>/dev/null; then input=/dev/tty; fi
    if [ "$(id -u)" = 0 ]; then exec "$program" "$@" <"$input"; fi
    have sudo || die "needs root: run $program with the same arguments as root"
    settings=$work/environment
    rm -f "$settings"
    (
        umask 077
        for name in http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY $(env | sed -n 's/^\(SUREFOOT_[A-Z0-9_]*\)=.*/\1/p'); do
            eval "value=\${$name-}"
            # shellcheck disable=SC2154 # set by the line above
            [ -z "$value" ] || { assignment "$name" "$value" && echo "export $name"; }
        done >"$settings"
    ) || die "cannot write $settings"
    # what a signal means is for the program to say
    trap : HUP INT TERM
    # shellcheck disable=SC2016,SC2024 # expanded by the shell that sudo starts; the input may be of the user
    sudo -- sh -c 'settings=$1; shift; . "$settings"; rm -f "$settings"; exec "$@"' sh "$settings" "$program" "$@" <"$input"
    result=$?
    # it is still there where sudo refused
    rm -f "$settings"
    exit $result
}

main() {
    # the same everywhere, and bytes are bytes
    LC_ALL=C
    export LC_ALL
    choose_file
    set_network "$@"
    choose_work
    place
    run "$@"
}

if true; then main "$@"; fi
