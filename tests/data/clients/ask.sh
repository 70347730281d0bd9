# Asks https://deb.corp.test:8443/WHO by several programs, which get all that they know from the environment; their answers are below
# /var/tmp/WHO, and `all` there comes last.
who=$1 out=/var/tmp/$1 url=https://deb.corp.test:8443/$1
rm -rf "$out"
mkdir -p "$out/gnupg"
cd "$out" || exit 1
export HOME=$out PATH=/opt/node/bin:$PATH npm_config_update_notifier=false
pip=/opt/pip.whl

ask() {
    name=$1
    shift
    "$@" >"$name" 2>&1 </dev/null || echo "exit $?" >>"$name"
}

ask curl curl -sS "$url/curl"
ask wget wget -q -O - "$url/wget"
ask git git ls-remote "$url/git"
ask pip python3 $pip/pip download --no-deps --disable-pip-version-check -i "$url/pip" lab-thing
ask requests env PYTHONPATH=$pip python3 -c "from pip._vendor import requests; print(requests.get('$url/requests').text)"
ask npm npm view lab-thing version --registry "$url/npm/"
# dirmngr reads no variable unless it is told to, and has a resolver of its own unless it is told not to
chmod 700 gnupg
printf '%s\n' honor-http-proxy standard-resolver >gnupg/dirmngr.conf
ask gpg gpg --homedir gnupg --batch --keyserver hkps://deb.corp.test:8443 --recv-keys "$(cat /root/fingerprint)"
gpgconf --homedir "$out/gnupg" --kill all
touch all
