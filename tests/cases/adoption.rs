//! The built-in blueprint `stackstorm` on a host where the official script has installed StackStorm, or has begun to. The script is a
//! stand-in, with stand-ins for the vendors' packages, on a stand-in for Ubuntu 22.04.

use anyhow::{Context, Result, ensure};
use lab::{
    Host, Suite,
    run::ensure_said,
    stackstorm::{self, Vendors, python, session},
    sweep::{self, Random},
};

/// Password of `st2admin` that the script was given.
const PASSWORD: &str = "Ch@ngeMe";
const INSTALL: &str = "install stackstorm --yes --answers /root/answers.toml";

/// The first user logs in with `password`, and everything is in place.
fn works(host: &Host, password: &str) -> Result<()> {
    runs_actions(host, password)?;
    ensure_said(&host.surefoot(INSTALL)?.ok()?, " in place, 0 changed, 0 failed")?;
    host.surefoot("status stackstorm --exit-code")?.ok().map(drop)
}

/// The first user logs in with `password`, and runs an action.
fn runs_actions(host: &Host, password: &str) -> Result<()> {
    let code = format!(
        "{}one = run('core.remote', cmd='sudo -n id -un', hosts='127.0.0.1')\nprint(one['status'], one['result']['127.0.0.1']['stdout'])",
        session(password)
    );
    assert_eq!(python(host, &code)?, "succeeded root");
    Ok(())
}

#[test]
fn an_installation_of_the_official_script_is_adopted() -> Result<()> {
    let vendors = Vendors::start(Suite::Ubuntu)?;
    let (host, _nginx) = vendors.official("")?;
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
    runs_actions(&host, PASSWORD)
}

/// Its services are stopped meanwhile, and run afterwards: also where nothing could be upgraded, and after an uninstall.
#[test]
fn services_that_were_found_run_on_after_an_upgrade_and_an_uninstall() -> Result<()> {
    let vendors = Vendors::with(Suite::Ubuntu, "3.8.1-2")?;
    let (host, _nginx) = vendors.official("")?;
    vendors.add(Suite::Ubuntu, stackstorm::VERSION)?;
    let running = || {
        host.sh("systemctl is-active st2api st2auth st2stream st2scheduler st2actionrunner@1 | sort | uniq -c | xargs")
    };
    assert_eq!(running()?, "5 active");
    host.write("/etc/apt/apt.conf.d/zz-refused", "DPkg::Pre-Invoke { \"false\"; };\n", 0o644)?;
    let refused = host.surefoot(&format!("{INSTALL} --set version=3.9"))?.code_is(22)?.stderr;
    ensure!(refused.contains("nothing was upgraded: starting "), "{refused}");
    assert_eq!(running()?, "5 active");
    host.sh("rm /etc/apt/apt.conf.d/zz-refused")?;
    host.surefoot("install --resume --yes")?.ok()?;
    works(&host, PASSWORD)?;
    assert_eq!(host.read("/opt/stackstorm/st2/VERSION")?, "3.9.0");

    host.surefoot("uninstall --yes")?.ok()?;
    // A server that was restarted after them makes them start once more, and systemd calls them active before they listen.
    host.sh(
        "up() { ! systemctl list-units --plain --no-legend 'st2*' | grep -qv ' active ' && [ $(ss -ltnH '( sport = 9100 or sport = 9101 )' | wc -l) = 2 ]; }
         for n in $(seq 200); do up && exit 0; sleep 0.1; done; systemctl list-units --all 'st2*'; ss -ltn; exit 1",
    )?;
    assert_eq!(running()?, "5 active");
    runs_actions(&host, PASSWORD)
}

/// Which half is drawn.
#[test]
fn a_broken_half_of_an_official_installation_is_completed() -> Result<()> {
    let vendors = Vendors::start(Suite::Ubuntu)?;
    let steps = ["mongodb-package", "mongodb-users", "st2-package"];
    let until = steps[Random::new(sweep::seed()?).below(steps.len())];
    let (host, _nginx) = vendors.official(until)?;
    host.write("/root/password", PASSWORD, 0o600)?;
    host.surefoot(&format!("{INSTALL} --set-file password=/root/password"))?.ok().context(until)?;
    works(&host, PASSWORD).context(until)
}
