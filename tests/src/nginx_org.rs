//! A stand-in for nginx.org's package, around Debian's program: another user, and sites in `conf.d` alone.

use crate::{host::Host, repo::Package};
use anyhow::{Context, Result};
use std::fs;

/// The package, made on a host that can fetch Debian's.
///
/// # Errors
/// When Debian's cannot be had.
pub fn package(host: &Host) -> Result<Package> {
    host.sh("apt-get update && mkdir /tmp/debian && cd /tmp/debian && apt-get download nginx nginx-common && for deb in *.deb; do dpkg-deb -x $deb .; done")?;
    let unpacked = |path: &str| fs::read(host.disk().join("tmp/debian").join(path)).with_context(|| path.to_owned());
    let package = Package::new("nginx", "1.99.1-1~bookworm")
        .field("Depends", "libc6, libcrypt1, libpcre2-8-0, libssl3, zlib1g")
        .file("/usr/sbin/nginx", unpacked("usr/sbin/nginx")?, 0o755)
        .file("/lib/systemd/system/nginx.service", unpacked("lib/systemd/system/nginx.service")?, 0o644)
        .file("/etc/nginx/mime.types", unpacked("etc/nginx/mime.types")?, 0o644)
        .file(
            "/etc/nginx/nginx.conf",
            "user  nginx;\nerror_log  /var/log/nginx/error.log notice;\npid        /run/nginx.pid;\n\nevents {\n}\n\n\
             http {\n    include       /etc/nginx/mime.types;\n    include /etc/nginx/conf.d/*.conf;\n}\n",
            0o644,
        )
        .file(
            "/etc/nginx/conf.d/default.conf",
            "server {\n    listen       80;\n    server_name  localhost;\n    root   /usr/share/nginx/html;\n}\n",
            0o644,
        )
        .script(
            "postinst",
            "#!/bin/sh\nset -e\nid nginx >/dev/null 2>&1 || useradd --system --home /nonexistent --shell /bin/false nginx\n\
             mkdir -p /var/log/nginx /var/lib/nginx\ndeb-systemd-invoke start nginx.service || true\n",
        );
    host.sh("rm -r /tmp/debian")?;
    Ok(package)
}
