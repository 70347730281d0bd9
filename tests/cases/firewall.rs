//! Debian's own firewalld on a real host: what others are to reach is let through, and nothing else.

use anyhow::{Result, ensure};
use lab::{Host, Suite, run::ensure_said};

const INSTALL: &str = "install /root/web --yes";

#[test]
fn firewalld_is_told_what_others_are_to_reach() -> Result<()> {
    let host = Host::builder(Suite::Bookworm).filters().boot()?;
    host.install_binary()?;
    host.install_blueprint("web")?;
    // Without /etc/protocols it does not start.
    host.sh("apt-get -qq update && apt-get -qq install --no-install-recommends firewalld netbase >/dev/null")?;
    host.sh("systemctl restart firewalld && firewall-cmd --state")?;
    let open = |ports: &str| -> Result<()> {
        for kept in ["", "--permanent "] {
            assert_eq!(host.sh(&format!("firewall-cmd {kept}--list-ports"))?, ports, "{kept}");
        }
        Ok(())
    };
    let checked = host.surefoot("preflight /root/web")?.ok()?;
    ensure_said(&checked, "firewalld is active, and will be told to let port 80 through")?;
    // One that others come by in another zone than the one that will be told.
    let interface = host.sh("ip -o route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/'")?;
    host.sh(&format!("firewall-cmd --zone=internal --change-interface={interface}"))?;
    let checked = || -> Result<String> {
        let told = host.surefoot("preflight /root/web")?.ok()?.stdout;
        Ok(told.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let shut =
        format!("warning interface {interface} in firewalld's zone 'internal', which does not let port 80 through");
    ensure!(checked()?.contains(&shut), "{}", checked()?);
    // Open until the next reload, and then for good; and where everything is let through.
    host.sh("firewall-cmd --zone=internal --add-port=80/tcp")?;
    ensure!(checked()?.contains(&shut), "{}", checked()?);
    host.sh("firewall-cmd --permanent --zone=internal --add-port=80/tcp")?;
    ensure!(!checked()?.contains("warning interface"), "{}", checked()?);
    host.sh(&format!("firewall-cmd --zone=trusted --change-interface={interface}"))?;
    ensure!(!checked()?.contains("warning interface"), "{}", checked()?);
    host.sh(&format!("firewall-cmd --zone=public --change-interface={interface}"))?;
    // A way that leads nowhere is no interface.
    host.sh("ip route add unreachable default metric 4000")?;
    ensure!(!checked()?.contains("warning interface"), "{}", checked()?);
    host.sh("ip route del unreachable default metric 4000")?;
    // What is for some, or refused, is not for others.
    let rules = ["source address=10.0.0.0/8 port port=80 protocol=tcp accept", "service name=http reject"];
    for rule in rules {
        host.sh(&format!("firewall-cmd --permanent --add-rich-rule='rule family=ipv4 {rule}'"))?;
    }
    host.surefoot(INSTALL)?.ok()?;
    open("80/tcp")?;
    for rule in rules {
        host.sh(&format!("firewall-cmd --permanent --remove-rich-rule='rule family=ipv4 {rule}'"))?;
    }
    host.sh("firewall-cmd --reload && firewall-cmd --query-port=80/tcp")?;
    ensure_said(&host.surefoot(INSTALL)?.ok()?, " in place, 0 changed, 0 failed")?;

    // Shut by hand until the next reload, and for good.
    for by_hand in ["firewall-cmd --remove-port=80/tcp", "firewall-cmd --permanent --remove-port=80/tcp"] {
        host.sh(by_hand)?;
        let status = host.surefoot("status web")?;
        ensure!(status.stdout.contains("let port 80 through"), "{by_hand}:\n{}", status.stdout);
        ensure_said(&host.surefoot(INSTALL)?.ok()?, " 1 changed, 0 failed")?;
        open("80/tcp")?;
    }

    // What somebody opened stays, and what is not ours.
    host.sh("firewall-cmd --permanent --add-port=8443/tcp && firewall-cmd --reload")?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    open("8443/tcp")?;
    host.sh("firewall-cmd --permanent --remove-port=8443/tcp")?;
    assert_eq!(host.sh("grep -c '<port' /etc/firewalld/zones/public.xml || true")?, "0");

    // Where the zone lets everything through, nothing is to be done.
    host.sh("firewall-cmd --set-default-zone=trusted")?;
    let done = host.surefoot(INSTALL)?.ok()?;
    ensure!(!done.stderr.contains("let port 80 through"), "{}", done.stderr);
    assert_eq!(host.sh("firewall-cmd --zone=trusted --list-ports")?, "");
    host.surefoot("uninstall --purge --yes")?.ok()?;
    host.sh("firewall-cmd --set-default-zone=public")?;

    // Opened by somebody before: found, and left there.
    host.sh("firewall-cmd --permanent --add-service=http && firewall-cmd --reload")?;
    host.surefoot(INSTALL)?.ok()?;
    open("")?;
    // Its settings are taken back also where it does not run.
    host.sh("firewall-cmd --permanent --remove-service=http && firewall-cmd --reload")?;
    host.surefoot(INSTALL)?.ok()?;
    host.sh("systemctl stop firewalld")?;
    ensure_said(&host.surefoot(INSTALL)?.ok()?, " in place, 0 changed, 0 failed")?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    assert_eq!(host.sh("grep -c '<port' /etc/firewalld/zones/public.xml || true")?, "0");
    Ok(())
}
