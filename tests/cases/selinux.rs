//! A stand-in for SELinux: the real `semanage`, `setsebool` and `matchpathcon` with Debian's reference policy, on a kernel without it. Files in
//! the place of the kernel's say that it enforces; nothing is ever refused.

use anyhow::{Result, ensure};
use lab::{Host, Suite, run::ensure_said};

/// Files where the kernel has its own, and a `setsebool` that changes them as the kernel would.
const KERNEL: &str = r#"mkdir /tmp/fs && mount -t tmpfs tmpfs /tmp/fs
for folder in /sys/fs/*; do mkdir /tmp/fs/${folder##*/} && mount --rbind $folder /tmp/fs/${folder##*/}; done
mkdir -p /tmp/fs/selinux/booleans && printf 1 >/tmp/fs/selinux/enforce && printf '0 0' >/tmp/fs/selinux/booleans/httpd_can_network_connect
mount --rbind /tmp/fs /sys/fs
mkdir -p /etc/selinux && echo SELINUXTYPE=default >/etc/selinux/config
mv /usr/sbin/setsebool /usr/sbin/setsebool.real
cat >/usr/sbin/setsebool <<'SCRIPT'
#!/bin/sh -e
setsebool.real "$@"
printf "$3 $3" >/sys/fs/selinux/booleans/$2
SCRIPT
chmod 755 /usr/sbin/setsebool"#;
/// A site that asks another server, on a port that the policy does not know for one; and a service that does not start, where wanted.
const FRONT: &str = r#"[inputs.broken]
type = "bool"
default = false

[[step]]
id = "site"
kind = "nginx_site"
names = ["front.lab.test"]
port = 8999
locations = [{ path = "/api/", upstream = "http://127.0.0.1:9101/" }, { path = "/files/", root = "/data/front.files" }]

[[step]]
id = "broken"
kind = "service"
when = "inputs.broken"
unit = "broken"
"#;
const BROKEN: &str = "[Service]\nType=oneshot\nExecStart=/root/broken\n";
/// It ends as one does that SELinux does not let listen; what auditd would write of it is written by itself.
const SCRIPT: &str = r#"#!/bin/sh
echo "type=AVC msg=audit($(date +%s).001:7): avc:  denied  { name_bind } for  pid=7 comm=\"broken\" src=9101 \
scontext=system_u:system_r:broken_t:s0 tclass=tcp_socket permissive=0" >>/var/log/audit/audit.log
exit 1
"#;
const INSTALL: &str = "install /root/front --yes";

#[test]
fn the_policy_lets_what_is_brought_and_what_it_refuses_is_told() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.write_blueprint("front", FRONT)?;
    host.sh("apt-get -qq update && apt-get -qq install --no-install-recommends policycoreutils selinux-utils selinux-policy-default netbase attr >/dev/null 2>&1")?;
    host.sh(KERNEL)?;
    host.sh("mkdir -p /data/front.files")?;
    let sorts = || host.sh("cat /var/lib/selinux/default/active/ports.local 2>/dev/null | grep ^portcon || true");
    let boolean =
        || host.sh("grep -h ^httpd_can_network_connect= /var/lib/selinux/default/active/booleans.local || true");

    host.surefoot(INSTALL)?.ok()?;
    assert_eq!(sorts()?, "portcon tcp 8999 system_u:object_r:http_port_t:s0");
    assert_eq!(boolean()?, "httpd_can_network_connect=1");
    let rules = || host.sh("grep ^/data /var/lib/selinux/default/active/file_contexts.local || true");
    assert_eq!(rules()?, r"/data/front\.files(/.*)?    system_u:object_r:httpd_sys_content_t:s0");
    assert_eq!(host.sh("matchpathcon -n -m file /data/front.files/a")?, "system_u:object_r:httpd_sys_content_t:s0");
    // A label ends with a NUL.
    let label = |path: &str| {
        host.sh(&format!("getfattr --absolute-names --only-values -n security.selinux {path} | tr -d '\\0'"))
    };
    assert_eq!(label("/etc/nginx/sites-available/front-site.conf")?, "system_u:object_r:httpd_config_t:s0");
    assert_eq!(label("/var/www/front-site")?, "system_u:object_r:httpd_sys_content_t:s0");
    let again = |counts: &str| ensure_said(&host.surefoot(INSTALL)?.ok()?, counts);
    again(" in place, 0 changed, 0 failed")?;

    host.sh(r"semanage port -d -p tcp 8999; setsebool -P httpd_can_network_connect 0; semanage fcontext -d '/data/front\.files(/.*)?'")?;
    let status = host.surefoot("status front")?.stdout;
    ensure!(status.contains("port 8999: http_port_t") && status.contains("off -> on"), "{status}");
    ensure!(status.contains("/data/front.files: default_t -> httpd_sys_content_t"), "{status}");
    again(" 3 changed, 0 failed")?;
    assert_eq!(
        (sorts()?.as_str(), boolean()?.as_str()),
        ("portcon tcp 8999 system_u:object_r:http_port_t:s0", "httpd_can_network_connect=1")
    );

    host.sh("mkdir -p /var/log/audit")?;
    host.write("/etc/systemd/system/broken.service", BROKEN, 0o644)?;
    host.write("/root/broken", SCRIPT, 0o755)?;
    host.surefoot(&format!("{INSTALL} --set broken=yes"))?.code_is(26)?;
    let why = host.surefoot("why")?.stdout;
    for part in
        ["SELinux refused meanwhile", "{ name_bind } for pid=7 comm=\"broken\" src=9101", "ausearch -m avc -ts recent"]
    {
        ensure!(why.contains(part), "{part}:\n{why}");
    }
    host.surefoot("uninstall --purge --yes")?.ok()?;
    assert_eq!((sorts()?.as_str(), boolean()?.as_str(), rules()?.as_str()), ("", "httpd_can_network_connect=0", ""));
    assert_eq!(host.sh("cat /sys/fs/selinux/enforce")?, "1");
    Ok(())
}
