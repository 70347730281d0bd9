//! The built-in blueprint `stackstorm` on a host where the official script has installed StackStorm, or has begun to. The script is a
//! stand-in, with stand-ins for the vendors' packages, on a stand-in for Ubuntu 22.04.

use anyhow::{Context, Result, ensure};
use lab::{
    Host, Suite,
    run::ensure_said,
    stackstorm::{Vendors, python, session},
    sweep::{self, Random},
};

/// Password of `st2admin` that the script was given.
const PASSWORD: &str = "Ch@ngeMe";
const INSTALL: &str = "install stackstorm --yes --answers /root/answers.toml";

/// The first user logs in with `password`, and everything is in place.
fn works(host: &Host, password: &str) -> Result<()> {
    let code = format!(
        "{}one = run('core.remote', cmd='sudo -n id -un', hosts='127.0.0.1')\nprint(one['status'], one['result']['127.0.0.1']['stdout'])",
        session(password)
    );
    assert_eq!(python(host, &code)?, "succeeded root");
    ensure_said(&host.surefoot(INSTALL)?.ok()?, " in place, 0 changed, 0 failed")?;
    host.surefoot("status stackstorm --exit-code")?.ok().map(drop)
}

#[test]
fn an_installation_of_the_official_script_is_adopted() -> Result<()> {
    let vendors = Vendors::start(Suite::Ubuntu)?;
    let host = vendors.official("")?;
    let kept = "cat /etc/ssl/st2/* /etc/st2/keys/datastore_key.json /home/stanley/.ssh/stanley_rsa | sha256sum";
    let (before, packages) = (host.sh(kept)?, host.sh("dpkg -l | sha256sum")?);
    let plan = host.surefoot("plan stackstorm --answers /root/answers.toml")?.ok()?.stdout;
    let told = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    for found in [
        "password (secret) found in /root/.st2",
        "mongodb_admin_password (secret) found in /root/st2_",
        "rabbitmq_password (secret) found in /etc/st2/",
    ] {
        ensure!(told.contains(found), "{found} is not in {plan}");
    }
    host.surefoot(INSTALL)?.ok()?;
    works(&host, PASSWORD)?;
    assert_eq!(host.sh(kept)?, before);
    assert_eq!(host.sh("dpkg -l | sha256sum")?, packages, "nothing was installed that was there");
    let shown = "python3 -c 'import ssl; print(ssl.get_server_certificate((\"127.0.0.1\", 443)), end=\"\")'";
    assert_eq!(host.sh(shown)?, host.read("/etc/ssl/st2/st2.crt")?.trim_end());

    // Also where nothing is remembered, all of it is found.
    host.sh("rm -r /var/lib/surefoot/stackstorm")?;
    works(&host, PASSWORD)?;

    // What was found stays where it was; what was taken away is back.
    host.surefoot("uninstall --yes")?.ok()?;
    assert_eq!(host.sh(kept)?, before);
    host.sh("dpkg -s st2 rabbitmq-server >/dev/null && systemctl is-active rabbitmq-server mongod")?;
    Ok(())
}

/// Which half is drawn.
#[test]
fn a_broken_half_of_an_official_installation_is_completed() -> Result<()> {
    let vendors = Vendors::start(Suite::Ubuntu)?;
    let steps = ["mongodb-package", "mongodb-users", "st2-package"];
    let until = steps[Random::new(sweep::seed()?).below(steps.len())];
    let host = vendors.official(until)?;
    host.write("/root/password", PASSWORD, 0o600)?;
    host.surefoot(&format!("{INSTALL} --set-file password=/root/password"))?.ok().context(until)?;
    works(&host, PASSWORD).context(until)
}
