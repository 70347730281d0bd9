//! The built-in blueprint as a whole, MongoDB by the stand-in that [`lab::mongodb`] makes.

use anyhow::{Context, Result, bail, ensure};
use lab::{
    Host, Suite, Watch,
    mongodb::Vendor,
    repo::{Package, Repo},
    run::ensure_said,
    sweep::SERVICES,
    web::Web,
};
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
    assert_eq!(host.sh("systemctl show '*' -p NeedDaemonReload | grep . | sort -u")?, "NeedDaemonReload=no");
    ensure!(
        host.exists("/run/systemd/generator/postgresql.service.wants")?,
        "systemd did not read its units after the packages"
    );
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
    ensure_said(&host.surefoot("install services --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    // It was begun with another pin, and goes all the same.
    host.surefoot("uninstall services --yes")?.ok()?;
    ensure!(!host.exists("/etc/apt/keyrings/mongodb-org.gpg")?, "the key stays");
    Ok(())
}

/// One index, two transactions; RabbitMQ comes up before the first is done, and while the second is at work, and MongoDB is closed before that.
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
    let packages = at("resource_changed", "rabbitmq/packages:all")?;
    let order = [first, began, packages, second, ended];
    ensure!(order.is_sorted(), "{order:?}");
    // Until MongoDB has its administrator, everybody on the host could make one.
    let (open, closed) = (
        at("resource_changing", "mongodb/service:mongod.service")?,
        at("resource_changed", "mongodb/mongodb_user:127.0.0.1:27017/admin.admin")?,
    );
    let between = events[open..closed].iter().filter_map(|event| event["step"].as_str());
    ensure!(closed < second && between.into_iter().all(|step| step == "mongodb"), "{open} {closed} {second}");
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

/// A package with an init script and no unit: systemd makes one, which it does not while the script's name is masked.
#[test]
fn a_service_of_an_init_script_comes_up() -> Result<()> {
    const SCRIPT: &str = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: lab-thing\n# Required-Start: $remote_fs\n\
        # Required-Stop: $remote_fs\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\n\
        case $1 in\nstart) start-stop-daemon --start --background --make-pidfile --pidfile /run/lab-thing.pid --exec /bin/sleep -- 100000 ;;\n\
        stop) start-stop-daemon --stop --pidfile /run/lab-thing.pid ;;\nesac\n";
    let postinst = "#!/bin/sh\nset -e\nupdate-rc.d lab-thing defaults\ninvoke-rc.d lab-thing start\n";
    let package = Package::new("lab-thing", "1").file("/etc/init.d/lab-thing", SCRIPT, 0o755);
    let (repo, web) = (Repo::new(&[package.script("postinst", postinst)])?, Web::start()?);
    let host = Host::boot(Suite::Bookworm)?;
    repo.offer(&web, &host)?;
    host.install_binary()?;
    let steps = "[[step]]\nid = 'thing'\nkind = 'packages'\nnames = ['lab-thing']\nservices = ['lab-thing']\n\
        [[step]]\nid = 'serve'\nkind = 'service'\nunit = 'lab-thing'\npackage = 'lab-thing'\n";
    let blueprint = host.write_blueprint("thing", steps)?;
    host.install(&blueprint)?;
    host.sh("systemctl is-active lab-thing")?;
    let told = host.install(&blueprint)?;
    ensure!(told.changed == 0, "{told:?}");
    Ok(())
}

/// What packages ask of services that are nobody's business but theirs reaches these with their definitions as they are by then.
#[test]
fn services_of_others_have_their_newest_definition() -> Result<()> {
    let drop_in = |unit: &str, seconds: u32| {
        format!(
            "mkdir -p /etc/systemd/system/{unit}.service.d\n\
             printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep {seconds}\\n' >/etc/systemd/system/{unit}.service.d/new.conf\n\
             systemctl --system daemon-reload\n"
        )
    };
    let postinst = format!(
        "#!/bin/sh\nset -e\n{}deb-systemd-invoke restart restarted.service\n{}",
        drop_in("restarted", 2222),
        drop_in("left", 3333)
    );
    let (repo, web) = (Repo::new(&[Package::new("lab-thing", "1").script("postinst", &postinst)])?, Web::start()?);
    let host = Host::boot(Suite::Bookworm)?;
    repo.offer(&web, &host)?;
    host.install_binary()?;
    let unit = "[Service]\nExecStart=/bin/sleep 1111\n[Install]\nWantedBy=multi-user.target\n";
    for name in ["restarted", "left"] {
        host.write(&format!("/etc/systemd/system/{name}.service"), unit, 0o644)?;
    }
    host.sh("systemctl enable --now restarted left")?;
    let steps = "[[step]]\nid = 'thing'\nkind = 'packages'\nnames = ['lab-thing']\n";
    let blueprint = host.write_blueprint("thing", steps)?;
    host.install(&blueprint)?;
    let runs = |unit: &str| host.sh(&format!("tr '\\0' ' ' </proc/$(systemctl show -P MainPID {unit})/cmdline"));
    assert_eq!((runs("restarted")?.trim(), runs("left")?.trim()), ("/bin/sleep 2222", "/bin/sleep 1111"));
    let known = "systemctl show -P NeedDaemonReload restarted left";
    assert_eq!(host.sh(known)?, "no\n\nno");

    // A run was killed while systemd read its units.
    host.sh("touch /etc/systemd/system/left.service; mkdir /var/lib/surefoot/.guard; touch /var/lib/surefoot/.guard/reloading")?;
    assert_eq!(host.sh(known)?, "no\n\nyes");
    host.install(&blueprint)?;
    assert_eq!(host.sh(known)?, "no\n\nno");

    // It refuses to, as where its file system in memory is full. Packages go on without, and so does the run.
    host.sh("apt-get purge -y -q lab-thing")?;
    let refusing = "#!/bin/sh\ncase $* in *daemon-reload*) echo 'Refusing to reload' >&2; exit 1 ;; esac\nexec /usr/bin/systemctl \"$@\"\n";
    host.write("/usr/local/sbin/systemctl", refusing, 0o755)?;
    let output = host.surefoot(&format!("install {blueprint} --yes"))?.ok()?;
    ensure_said(&output, "Refusing to reload")?;
    ensure_said(&output, " 0 failed")
}

/// nginx is up before a module of its own is installed, whose package asks for a reload by a trigger. `between` are steps between both.
fn a_module_reaches_nginx(between: &str) -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let steps = format!(
        "[[step]]\nid = 'site'\nkind = 'nginx_site'\nnames = ['box.lab.test']\n{between}\
         [[step]]\nid = 'echo'\nkind = 'packages'\nnames = ['libnginx-mod-http-echo']\n"
    );
    host.install(&host.write_blueprint("web", &steps)?)?;
    let module = "grep -c ngx_http_echo_module /proc/$(cat /run/nginx.pid)/maps";
    ensure!(host.sh(module)?.trim() != "0", "nginx runs without its module");
    let started = "journalctl -b -o cat -u nginx | grep -c '^Started'";
    assert_eq!(host.sh(started)?.trim(), "1");
    Ok(())
}

#[test]
fn what_later_packages_want_of_a_service_reaches_it() -> Result<()> {
    a_module_reaches_nginx("")
}

/// RabbitMQ comes up while a second transaction brings the module.
#[test]
fn what_a_second_transaction_wants_of_a_service_reaches_it() -> Result<()> {
    a_module_reaches_nginx("[[step]]\nid = 'broker'\nkind = 'rabbitmq'\nuser = 'admin'\npassword = 'brokerbroker'\n")
}
