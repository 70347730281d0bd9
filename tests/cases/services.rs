//! The built-in blueprint as a whole, MongoDB by the stand-in that [`lab::mongodb`] makes.

use anyhow::{Context, Result, bail, ensure};
use lab::{Host, Suite, Watch, mongodb::Vendor, run::ensure_said, sweep::SERVICES};
use serde_json::Value;
use std::time::Duration;

/// All five by one command: each is started once, is never open, answers, and is left alone by a second run.
fn all_five(suite: Suite) -> Result<()> {
    let vendor = Vendor::start(suite)?;
    let host = Host::boot(suite)?;
    host.install_binary()?;
    let (url, fingerprint) = (vendor.web.url(), vendor.repo.fingerprint());
    let install = |fingerprint: &str| {
        host.surefoot(&format!(
            "install services --yes --set mongodb=true --set mongodb_repository={url}/apt \
             --set mongodb_key={url}/key/server.asc --set mongodb_fingerprint={fingerprint}"
        ))
    };
    // A key that is not the pinned one is not taken, and nothing that it signs.
    let output = install("E58830201F7DD82CD808AA84160D26BB1785BA38")?.code_is(21)?;
    ensure_said(&output, "which is not pinned")?;
    ensure!(!host.exists("/etc/apt/keyrings/mongodb-org.gpg")? && !host.exists("/usr/bin/mongod")?);

    let watch = Watch::start(&host)?;
    install(fingerprint)?.ok()?;
    let seen = watch.end(&host)?;
    seen.never_open(&[80, 5432, 5672, 6379, 15672, 27017], &[80, 443])?;
    for unit in ["nginx", "rabbitmq-server", "postgresql@*", "redis-server", "mongod"] {
        let started =
            format!("journalctl -b -o cat -u '{unit}' | grep -c '^Started'; systemctl show -P NRestarts '{unit}'");
        assert_eq!(host.sh(&started)?, "1\n0", "{unit}: one start, with the final configuration");
    }
    overlaps(&host)?;

    for login in SERVICES.logins {
        SERVICES.login(&host, login).with_context(|| (*login).to_owned())?;
    }
    let script = "import sys; sys.path.insert(0, '/usr/lib/mongodb-stand-in'); import pymongo\n\
        db = pymongo.MongoClient(open('/etc/mongodb/app.app').read().strip()).get_default_database()\n\
        db.things.insert_one({}); print(db.things.count_documents({}))";
    assert_eq!(host.run(["python3", "-"]).stdin(script).output()?.ok()?.stdout.trim(), "1");

    let install = ["surefoot", "install", "services", "--yes"];
    let execs = host.count_execs(install)?;
    ensure!(execs <= 10, "{execs} programs were started by a second run");
    let best = host.quickest(&install)?;
    ensure!(best <= Duration::from_millis(250), "a second run took {best:?}");
    ensure_said(&host.surefoot("install services --yes")?.ok()?, " in place, 0 changed, 0 failed")
}

/// One index, two transactions; RabbitMQ comes up while the second is at work, and MongoDB is closed before.
fn overlaps(host: &Host) -> Result<()> {
    // The last log is that of the run that was whole.
    let log = host.sh("cat $(ls -t /var/log/surefoot/services/*.jsonl | head -n 1)")?;
    let events: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let apt = |words: [&str; 2]| -> Vec<usize> {
        let is = |event: &Value| {
            let argv = event["argv"].as_array();
            argv.is_some_and(|argv| words.iter().all(|word| argv.iter().any(|arg| arg == word)))
        };
        events
            .iter()
            .enumerate()
            .filter(|(_, event)| event["type"] == "command_started" && is(event))
            .map(|(at, _)| at)
            .collect()
    };
    assert_eq!(apt(["apt-get", "update"]).len(), 1, "index updates");
    let [first, second] = apt(["apt-get", "--no-remove"])[..] else { bail!("not two package transactions") };
    let at = |kind: &str, resource: &str| {
        let is = |event: &Value| event["type"] == kind && event["resource"] == resource;
        events.iter().position(is).with_context(|| format!("no {kind} of {resource}"))
    };
    let broker = "rabbitmq/service:rabbitmq-server.service";
    let (began, ended) = (at("resource_changing", broker)?, at("resource_changed", broker)?);
    ensure!(first < began && began < second && second < ended, "{first} {began} {second} {ended}");
    // Until MongoDB has its administrator, everybody on the host could make one.
    let closed = at("resource_changed", "mongodb/mongodb_user:127.0.0.1:27017/admin.admin")?;
    ensure!(closed < began, "{closed} {began}");
    Ok(())
}

#[test]
fn all_five_services_by_one_command_on_bookworm() -> Result<()> {
    all_five(Suite::Bookworm)
}

#[test]
fn all_five_services_by_one_command_on_trixie() -> Result<()> {
    all_five(Suite::Trixie)
}

/// What was put in is there after another run, new passwords, a kill with a resume, and an uninstall with an install after it.
#[test]
fn data_survive_all_but_a_purge() -> Result<()> {
    let host = SERVICES.installed()?.host().boot()?;
    let there = |when: &str| -> Result<()> {
        for script in [SERVICES.logins, &[SERVICES.data_there]].concat() {
            SERVICES.login(&host, script).with_context(|| format!("{when}: {script}"))?;
        }
        Ok(())
    };
    there("after a reboot")?;
    host.surefoot("install services --yes")?.ok()?;
    there("after another run")?;

    let secrets = ["web_password", "redis_password", "rabbitmq_password", "postgresql_password"];
    for name in secrets {
        host.write(&format!("/root/{name}"), format!("a new {name}"), 0o600)?;
    }
    let new: Vec<String> = secrets.iter().map(|name| format!("--set-file {name}=/root/{name}")).collect();
    let words = format!("surefoot install services --yes {}", new.join(" "));
    let args: Vec<&str> = words.split(' ').collect();
    let (points, output) = {
        let twin = SERVICES.installed()?.host().boot()?;
        for name in secrets {
            twin.write(&format!("/root/{name}"), format!("a new {name}"), 0o600)?;
        }
        twin.run(args.clone()).kill_points()?
    };
    output.ok()?;
    // In the midst of it: some passwords are new by then, and others are not.
    ensure!(host.run_killed_at(&points[points.len() / 2], args)?.killed());
    host.surefoot("install --resume --yes")?.ok()?;
    there("after new passwords, with a kill in between")?;
    for name in secrets {
        let stored = host.read("/var/lib/surefoot/services/secrets.json")?;
        ensure!(stored.contains(&format!("a new {name}")), "{name} is not the new one");
    }

    host.surefoot("uninstall --yes")?.ok()?;
    ensure!(!host.exists("/usr/sbin/rabbitmq-server")? && !host.exists("/usr/bin/redis-server")?);
    host.surefoot("install services --yes")?.ok()?;
    there("after an uninstall and another install")
}
