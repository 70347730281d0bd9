#!/bin/bash
# What a careful installer script does for the backing services: package by package, each configured, restarted, and asked whether it answers.
# The components are its arguments; passwords come from the environment.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022

packages() {
    apt-get update -q
    apt-get install -yq --no-install-recommends "$@"
}

wait_for() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "no answer: $1" >&2
    exit 1
}

redis() {
    packages redis-server
    install -o redis -g redis -m 0640 /dev/null /etc/redis/own.conf
    cat >/etc/redis/own.conf <<EOF
bind 127.0.0.1 ::1
port 6379
requirepass $REDIS_PASSWORD
maxmemory 268435456
EOF
    echo 'include /etc/redis/own.conf' >>/etc/redis/redis.conf
    systemctl enable redis-server
    systemctl restart redis-server
    export REDISCLI_AUTH="$REDIS_PASSWORD"
    wait_for redis-cli --no-auth-warning ping
}

rabbitmq() {
    packages rabbitmq-server
    cat >/etc/rabbitmq/rabbitmq.conf <<EOF
listeners.tcp.1 = 127.0.0.1:5672
listeners.tcp.2 = ::1:5672
management.tcp.ip = 127.0.0.1
vm_memory_high_watermark.relative = 0.25
EOF
    # A node by a name that lasts, whose port for other nodes is on loopback, as is that of the port mapper.
    cat >/etc/rabbitmq/rabbitmq-env.conf <<EOF
NODENAME=rabbit@localhost
SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
export ERL_EPMD_ADDRESS=127.0.0.1
EOF
    mkdir -p /etc/systemd/system/epmd.socket.d
    printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:4369\n' >/etc/systemd/system/epmd.socket.d/own.conf
    systemctl daemon-reload
    systemctl stop rabbitmq-server
    systemctl restart epmd.socket
    echo '[rabbitmq_management].' >/etc/rabbitmq/enabled_plugins
    systemctl enable rabbitmq-server
    systemctl restart rabbitmq-server
    wait_for rabbitmqctl await_startup
    rabbitmqctl add_user admin "$RABBITMQ_PASSWORD"
    rabbitmqctl set_user_tags admin administrator
    rabbitmqctl set_permissions -p / admin '.*' '.*' '.*'
    rabbitmqctl delete_user guest
    rabbitmqctl authenticate_user admin "$RABBITMQ_PASSWORD"
}

postgresql() {
    packages postgresql
    sed -i -e '1i local app app scram-sha-256' -e '1i host app app 127.0.0.1/32 scram-sha-256' \
        -e '1i host app app ::1/128 scram-sha-256' /etc/postgresql/15/main/pg_hba.conf
    systemctl enable --now postgresql
    systemctl reload postgresql
    wait_for runuser -u postgres -- psql -qc 'select 1'
    runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 <<EOF
create role app login password '$POSTGRESQL_PASSWORD';
create database app owner app;
EOF
    PGPASSWORD="$POSTGRESQL_PASSWORD" wait_for psql -h 127.0.0.1 -U app -d app -qc 'select 1'
}

nginx() {
    packages nginx openssl
    install -d -m 0755 /etc/ssl/own
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj "/CN=$(hostname -f)" \
        -addext "subjectAltName=DNS:$(hostname -f),DNS:localhost,IP:127.0.0.1" -keyout /etc/ssl/own/key.pem -out /etc/ssl/own/certificate.pem
    chmod 0600 /etc/ssl/own/key.pem
    printf 'admin:%s\n' "$(openssl passwd -6 -stdin <<<"$WEB_PASSWORD")" >/etc/nginx/users
    chown root:www-data /etc/nginx/users
    chmod 0640 /etc/nginx/users
    mkdir -p /var/www/own
    echo '<h1>services</h1>' >/var/www/own/index.html
    cat >/etc/nginx/sites-available/own <<EOF
server { listen 80 default_server; listen [::]:80 default_server; server_tokens off; return 301 https://\$host\$request_uri; }
server {
    listen 443 ssl http2 default_server;
    listen [::]:443 ssl http2 default_server;
    server_tokens off;
    ssl_certificate /etc/ssl/own/certificate.pem;
    ssl_certificate_key /etc/ssl/own/key.pem;
    ssl_session_timeout 1d;
    ssl_session_cache shared:own:10m;
    ssl_session_tickets off;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305;
    add_header Strict-Transport-Security "max-age=63072000" always;
    add_header X-Content-Type-Options nosniff always;
    add_header X-Frame-Options SAMEORIGIN always;
    add_header Referrer-Policy same-origin always;
    gzip off;
    root /var/www/own;
    location / { auth_basic "services"; auth_basic_user_file /etc/nginx/users; }
}
EOF
    rm -f /etc/nginx/sites-enabled/default
    ln -sf ../sites-available/own /etc/nginx/sites-enabled/own
    command nginx -t
    systemctl enable nginx
    systemctl restart nginx
    wait_for curl -sfk -u "admin:$WEB_PASSWORD" https://localhost/
}

for component; do "$component"; done
