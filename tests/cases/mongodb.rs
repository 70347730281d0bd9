//! MongoDB, by the stand-in that [`lab::mongodb`] makes: what it shows is said of the stand-in.

use anyhow::{Context, Result, ensure};
use lab::{Digest, Host, Output, Snapshot, Suite, mongodb::Vendor, run::ensure_said, snapshot};
use std::time::Duration;

/// `install` with the passwords given by files, so that two hosts can be compared.
fn install(vendor: &Vendor, host: &Host, more: &[&str]) -> Result<Output> {
    let fingerprint = vendor.repo.fingerprint();
    let answers = format!("repository = '{}'\nfingerprint = '{fingerprint}'\n", vendor.web.url());
    host.write("/root/answers.toml", answers, 0o600)?;
    let blueprint = host.install_blueprint("mongodb")?;
    let mut args = vec!["surefoot", "install", &blueprint, "--yes", "--answers", "/root/answers.toml"];
    args.extend(more);
    host.exec(args)
}

/// A host with the stand-in installed by us, and data in it.
fn installed() -> Result<Host> {
    let snapshot = Snapshot::cached("mongodb", &snapshot::key_of(&lab::place::surefoot()?)?, || {
        let vendor = Vendor::start(Suite::Bookworm)?;
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        install(&vendor, &host, &[])?.ok()?;
        python(&host, "app", "shop", "db.things.insert_one({'_id': 1})")?;
        Ok(host)
    })?;
    let host = Host::builder(Suite::Bookworm).from(&snapshot).boot()?;
    host.sh("until grep -q . /proc/net/tcp && systemctl is-active -q mongod; do :; done")?;
    Ok(host)
}

/// Python with a real pymongo, logged in as a user with the URL that is on disk: `db` is the user's database.
fn python(host: &Host, user: &str, database: &str, code: &str) -> Result<String> {
    let url = host.read(&format!("/etc/mongodb/{database}.{user}"))?;
    script(host, &format!("db = pymongo.MongoClient({:?}).get_default_database()\n{code}", url.trim()))
}

fn script(host: &Host, code: &str) -> Result<String> {
    let code = format!("import sys\nsys.path.insert(0, '/usr/lib/mongodb-stand-in')\nimport pymongo\n{code}\n");
    Ok(host.run(["python3", "-"]).stdin(code).output()?.ok()?.stdout.trim_end().to_owned())
}

/// What a command says that must be refused: the server's code.
fn refused(host: &Host, url: &str, what: &str) -> Result<String> {
    script(
        host,
        &format!(
            "try:\n    pymongo.MongoClient({url:?}, serverSelectionTimeoutMS=3000).shop.{what}\n    print('let in')\n\
             except pymongo.errors.OperationFailure as error:\n    print(error.code)"
        ),
    )
}

#[test]
fn mongodb_is_installed_with_its_users_and_a_second_run_changes_nothing() -> Result<()> {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        let vendor = Vendor::start(suite)?;
        let host = Host::boot(suite)?;
        host.install_binary()?;
        install(&vendor, &host, &[])?.ok()?;

        // Real pymongo logs in with the generated passwords; wrong ones, none and other databases are refused.
        assert_eq!(
            python(&host, "app", "shop", "db.things.insert_one({'_id': 1}); print(db.things.count_documents({}))")?,
            "1"
        );
        let roles = "info = db.command('connectionStatus')['authInfo']\n\
                     print(sorted(f\"{role['role']}@{role['db']}\" for role in info['authenticatedUserRoles']))";
        assert_eq!(python(&host, "app", "shop", roles)?, "['read@other', 'readWrite@shop']");
        assert_eq!(python(&host, "admin", "admin", roles)?, "['userAdminAnyDatabase@admin']");
        let at = "127.0.0.1:27017";
        for (url, code) in [
            (format!("mongodb://{at}/"), "13"),
            (format!("mongodb://app:wrong@{at}/?authSource=shop"), "18"),
            (format!("mongodb://admin:admin@{at}/?authSource=admin"), "18"),
        ] {
            assert_eq!(refused(&host, &url, "things.find_one()")?, code, "{url}");
            // The localhost exception has ended with the first user.
            assert_ne!(refused(&host, &url, "command('createUser', 'eve', pwd='x', roles=[])")?, "let in", "{url}");
        }
        let listeners = host.sh("ss -Hltn 'sport = 27017' | awk '{print $4}'")?;
        assert_eq!(listeners, at);
        let started =
            host.sh("journalctl -b -u mongod -o cat | grep -c '^Started'; systemctl show -P NRestarts mongod")?;
        assert_eq!(started, "1\n0", "one start, with the final configuration");
        assert_eq!(host.sh("stat -c '%a %U' /etc/mongodb/* /etc/mongodb | sort -u")?, "600 root\n700 root");

        let before = Digest::of(&host)?;
        let execs = host.count_execs(["surefoot", "install", "/root/mongodb", "--yes"])?;
        ensure!(execs <= 10, "{execs} programs were started by a second run");
        let best = host.quickest(&["surefoot", "install", "/root/mongodb", "--yes"])?;
        ensure!(best <= Duration::from_millis(250), "it took {best:?}");
        let again = install(&vendor, &host, &[])?.ok()?;
        ensure_said(&again, " in place, 0 changed, 0 failed")?;
        host.sh("rm -r /var/lib/surefoot")?;
        let again = install(&vendor, &host, &[])?.ok()?;
        ensure_said(&again, " in place, 0 changed, 0 failed")?;
        assert_eq!(Digest::diff(&before, &Digest::of(&host)?), Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn drift_in_mongodb_is_shown_and_put_right() -> Result<()> {
    let host = installed()?;
    for (drift, item) in [
        ("admin.shop.command('updateUser', 'app', pwd='other')", "set the p"),
        ("admin.shop.command('updateUser', 'app', roles=['readWrite'])", "grant read@other"),
        ("admin.shop.command('dropUser', 'app')", "create, w"),
    ] {
        let admin =
            format!("admin = db.client\n{drift}\nadmin.shop.command('createUser', 'guest', pwd='g', roles=['read'])");
        python(&host, "admin", "admin", &admin)?;
        for command in ["status", "plan"] {
            let mut args = vec!["surefoot", command, "--verbose"];
            if command == "plan" {
                args.push("/root/mongodb");
            }
            ensure_said(&host.exec(args)?, item).with_context(|| format!("{command} after {drift}"))?;
        }
        let output = host.exec(["surefoot", "install", "/root/mongodb", "--yes"])?.ok()?;
        ensure_said(&output, " 1 changed, 0 failed").context(drift)?;
        // Nobody else's user is touched.
        let there = "print(len(db.client.shop.command('usersInfo', 'guest')['users'])); db.client.shop.command('dropUser', 'guest')";
        assert_eq!(python(&host, "admin", "admin", there)?, "1");
        assert_eq!(python(&host, "app", "shop", "print(db.things.count_documents({}))")?, "1");
    }
    for (drift, item) in [
        ("systemctl stop mongod", "start"),
        ("sed -i '/authorization/d' /etc/mongod.conf", "set security.authorizati"),
        ("sed -i 's/bindIp: .*/bindIp: 0.0.0.0/' /etc/mongod.conf && systemctl restart mongod", "set net.bindIp"),
    ] {
        host.sh(drift)?;
        ensure_said(&host.exec(["surefoot", "status", "--verbose"])?, item).context(drift)?;
        host.exec(["surefoot", "install", "/root/mongodb", "--yes"])?.ok()?;
        assert_eq!(host.exec(["surefoot", "status", "--exit-code"])?.code(), 0, "{drift}");
        assert_eq!(host.sh("ss -Hltn 'sport = 27017' | awk '{print $4}'")?, "127.0.0.1:27017");
    }
    Ok(())
}

#[test]
fn passwords_of_mongodb_that_are_changed_lost_or_wrong() -> Result<()> {
    let host = installed()?;
    let old = host.sh("cat /etc/mongodb/shop.app /etc/mongodb/admin.admin")?;
    host.write("/root/new", "another-one", 0o600)?;
    host.write("/root/admin", "a new / password", 0o600)?;
    let given = ["--set-file", "password=/root/new", "--set-file", "admin_password=/root/admin"];
    let args = ["surefoot", "install", "/root/mongodb", "--yes"].into_iter().chain(given);
    host.exec(args)?.ok()?;
    assert_eq!(python(&host, "app", "shop", "print(db.things.count_documents({}))")?, "1");
    python(&host, "admin", "admin", "db.command('usersInfo', 1)")?;
    for url in old.lines() {
        assert_eq!(refused(&host, url, "things.find_one()")?, "18", "the old password is refused");
    }

    // Without the file and with a wrong password, nobody can tell what is right.
    host.sh("rm /etc/mongodb/admin.admin")?;
    host.write("/root/wrong", "wrong", 0o600)?;
    let args = ["surefoot", "install", "/root/mongodb", "--yes", "--set-file", "admin_password=/root/wrong"];
    let output = host.exec(args)?.code_is(27)?;
    for words in
        ["has users already, and does not let 'admin' log in", "(code 18)", "there is no /etc/mongodb/admin.admin"]
    {
        ensure_said(&output, words)?;
    }
    Ok(())
}

#[test]
fn a_kill_while_users_are_made_loses_nothing() -> Result<()> {
    let host = installed()?;
    let urls = host.sh("cat /etc/mongodb/*")?;
    python(&host, "admin", "admin", "db.client.shop.command('dropUser', 'app'); db.command('dropUser', 'admin')")?;
    host.sh("systemctl disable --now mongod && rm -r /etc/mongodb && sed -i '/authorization/d' /etc/mongod.conf")?;
    let without = host.snapshot()?;
    let boot = || Host::builder(Suite::Bookworm).from(&without).boot();
    let install = ["surefoot", "install", "/root/mongodb", "--yes"];
    let (points, output) = boot()?.run(install).kill_points()?;
    output.ok()?;
    ensure!(points.len() > 20, "{points:?}");
    for point in points.iter().skip(2).step_by(points.len().div_ceil(4)) {
        let host = boot()?;
        ensure!(host.run_killed_at(point, install)?.killed(), "{point:?}");
        host.exec(["surefoot", "install", "--resume", "--yes"])?.ok().with_context(|| format!("{point:?}"))?;
        assert_eq!(host.sh("cat /etc/mongodb/*")?, urls, "{point:?}: a password has changed");
        assert_eq!(python(&host, "app", "shop", "print(db.things.count_documents({}))")?, "1", "{point:?}");
        python(&host, "admin", "admin", "db.command('usersInfo', 1)")?;
        assert_eq!(refused(&host, "mongodb://127.0.0.1:27017/", "things.find_one()")?, "13", "{point:?}");
    }
    Ok(())
}

#[test]
fn uninstall_keeps_the_data_of_mongodb_and_purge_removes_it() -> Result<()> {
    let fresh = Digest::of(&Host::boot(Suite::Bookworm)?)?;
    let host = installed()?;
    host.exec(["surefoot", "uninstall", "--yes"])?.ok()?;
    ensure!(!host.exists("/usr/bin/mongod")? && host.exists("/var/lib/mongodb/WiredTiger")?);
    ensure!(!host.exists("/etc/apt/keyrings/mongodb-org.gpg")? && !host.exists("/etc/mongodb")?);

    let vendor = Vendor::start(Suite::Bookworm)?;
    install(&vendor, &host, &[])?.ok()?;
    assert_eq!(python(&host, "app", "shop", "print(db.things.count_documents({}))")?, "1");

    host.exec(["surefoot", "uninstall", "--purge", "--yes"])?.ok()?;
    let left: Vec<String> = Digest::diff(&fresh, &Digest::of(&host)?)
        .into_iter()
        // What the vendor's own purge leaves: the account and the log.
        .filter(|line| {
            line.contains("mongo")
                && !["user mongodb", "group mongodb", "/root/", "/var/log/"].iter().any(|left| line.contains(left))
        })
        .collect();
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_mongodb_that_was_there_keeps_its_data_users_and_configuration() -> Result<()> {
    let vendor = Vendor::start(Suite::Bookworm)?;
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    // Without authorization, as the package comes; with a setting, data and a user of somebody's.
    host.write("/etc/apt/keyrings/own.asc", vendor.repo.key(), 0o644)?;
    let source =
        format!("deb [signed-by=/etc/apt/keyrings/own.asc] {}/apt bookworm/mongodb-org/7.0 main\n", vendor.web.url());
    host.write("/etc/apt/sources.list.d/own.list", source, 0o644)?;
    host.sh("apt-get update && apt-get install --yes --no-install-recommends mongodb-org-server && rm /etc/apt/sources.list.d/own.list")?;
    host.sh("sed -i 's/^#operationProfiling:/operationProfiling:\\n  mode: slowOp/' /etc/mongod.conf && systemctl enable --now mongod")?;
    let ready = "db = pymongo.MongoClient('mongodb://127.0.0.1:27017/').shop\n";
    script(
        &host,
        &format!(
            "{ready}db.things.insert_one({{'_id': 7}})\ndb.client.admin.command('createUser', 'boss', pwd='boss', roles=['root'])"
        ),
    )?;
    // With authorization alone a replica set would not start again.
    host.sh("cp -a /etc/mongod.conf /root && echo 'replication: {replSetName: rs0}' >>/etc/mongod.conf")?;
    let before = host.read("/etc/mongod.conf")?;
    let output = install(&vendor, &host, &[])?.code_is(31)?;
    ensure_said(&output, "/etc/mongod.conf has 'replication.replSetName: rs0'")?;
    assert_eq!(host.read("/etc/mongod.conf")?, before);
    ensure!(!host.sh("ls /etc/apt/sources.list.d")?.contains("mongodb"), "something was touched");
    host.sh("cp -a /root/mongod.conf /etc")?;
    let before = host.read("/etc/mongod.conf")?;

    // Somebody's administrator is there, so that ours cannot be made without its help.
    let output = install(&vendor, &host, &[])?;
    ensure!(output.code() == 27, "{}{}", output.stdout, output.stderr);
    ensure_said(&output, "has users already")?;
    script(
        &host,
        "db = pymongo.MongoClient('mongodb://boss:boss@127.0.0.1:27017/').admin\ndb.command('createUser', 'admin', pwd='given', roles=['userAdminAnyDatabase'])",
    )?;
    host.write("/root/admin", "given", 0o600)?;
    let output =
        host.exec(["surefoot", "install", "--resume", "--yes", "--set-file", "admin_password=/root/admin"])?.ok()?;
    ensure_said(&output, " 0 failed")?;

    assert_eq!(python(&host, "app", "shop", "print(db.things.find_one()['_id'])")?, "7");
    script(&host, "pymongo.MongoClient('mongodb://boss:boss@127.0.0.1:27017/').admin.command('usersInfo', 'boss')")?;
    ensure!(host.read("/etc/mongod.conf")?.contains("operationProfiling:\n  mode: slowOp"));

    host.exec(["surefoot", "uninstall", "--yes"])?.ok()?;
    assert_eq!(host.read("/etc/mongod.conf")?, before);
    let users = "print([len(db.client[of].command('usersInfo', name)['users']) for of, name in (('admin', 'boss'), ('shop', 'app'))])";
    let boss = format!(
        "db = pymongo.MongoClient('mongodb://boss:boss@127.0.0.1:27017/').admin\n{users}\nprint(db.client.shop.things.find_one()['_id'])"
    );
    assert_eq!(script(&host, &boss)?, "[1, 0]\n7");
    Ok(())
}

#[test]
fn failures_of_mongodb_have_its_own_words_as_evidence() -> Result<()> {
    let host = installed()?;
    let install = |host: &Host| host.exec(["surefoot", "install", "/root/mongodb", "--yes"]);
    for (fault, mend, code, words) in [
        (
            "printf 'storage.noSuchThing: 1\\n' >>/etc/mongod.conf",
            "sed -i /noSuchThing/d /etc/mongod.conf",
            26,
            "Unrecognized option: storage.noSuchThing",
        ),
        (
            "systemctl stop mongod && chown -R root: /var/lib/mongodb && chmod 0700 /var/lib/mongodb",
            "chown -R mongodb: /var/lib/mongodb",
            26,
            "Attempted to create a lock file on a read-only directory: /var/lib/mongodb",
        ),
        (
            "systemctl stop mongod && systemd-run -u squatter python3 -c \"import socket, signal; s = socket.create_server(('127.0.0.1', 27017)); signal.pause()\" && \
             until ss -Hltn 'sport = 27017' | grep -q .; do :; done",
            "systemctl stop squatter",
            25,
            "27017",
        ),
    ] {
        host.sh(fault)?;
        let output = install(&host)?;
        ensure_said(&output, words).context(fault)?;
        assert_eq!(output.code(), code, "{fault}");
        host.sh(mend)?;
        host.exec(["surefoot", "install", "--resume", "--yes"])?.ok().context(mend)?;
    }
    // A processor without AVX, and a series that is too old, are refused before anything is touched.
    host.sh("grep -v '^flags' /proc/cpuinfo >/run/cpuinfo && mount --bind /run/cpuinfo /proc/cpuinfo")?;
    let output = install(&host)?.code_is(13)?;
    ensure_said(&output, "the processor has no AVX, which MongoDB 7.0 needs")?;
    host.sh("umount /proc/cpuinfo")?;
    let output = host.exec(["surefoot", "install", "/root/mongodb", "--yes", "--set", "version=4.0"])?.code_is(12)?;
    ensure_said(&output, "MongoDB 4.0 is not supported: 4.2 is the oldest that is")?;
    Ok(())
}

/// A server of another host, where the blueprint takes one that is older than what is installed here.
#[test]
fn a_server_of_before_4_2_is_used_where_it_may_be() -> Result<()> {
    const SHOP: &str = "[inputs.password]\ntype = \"secret\"\ngenerate = 24\n\n[inputs.oldest]\ntype = \"text\"\ndefault = \"4.2\"\n\n\
         [[step]]\nid = \"db\"\nkind = \"mongodb\"\nversion = \"7.0\"\nadmin = { password = \"none\" }\nexternal = \"127.0.0.1:27017\"\n\
         oldest = \"{{ inputs.oldest }}\"\nusers = [{ name = \"shop\", password = \"{{ inputs.password }}\", database = \"shop\" }]\n";
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.write_blueprint("shop", SHOP)?;
    host.write("/root/older", include_str!("../data/mongodb/older"), 0o755)?;
    host.write("/root/good", "old password", 0o600)?;
    host.write("/root/wrong", "new password", 0o600)?;
    host.sh("apt-get -qq update && apt-get -qq install --no-install-recommends python3-pymongo >/dev/null")?;
    let run = |words: &str| host.surefoot(&format!("install /root/shop --yes {words}"));
    for (wire, series) in [(5, "3.4"), (7, "4.0")] {
        host.sh(&format!(
            "systemd-run -qu older /root/older 27017 {wire} && until ss -Hltn 'sport = 27017' | grep -q .; do :; done"
        ))?;
        // What the stand-in takes, a client of somebody else's takes for a login, too.
        for (password, outcome) in [("old password", "in"), ("new password", "18")] {
            let code = format!(
                "import pymongo\ntry:\n    pymongo.MongoClient('127.0.0.1', username='shop', password='{password}', authSource='shop', \
                 authMechanism='SCRAM-SHA-1').shop.command('count', 'a')\n    print('in')\n\
                 except pymongo.errors.OperationFailure as error:\n    print(error.code)\n"
            );
            assert_eq!(host.run(["python3", "-"]).stdin(code).output()?.ok()?.stdout.trim_end(), outcome, "{series}");
        }
        let too_old = run("--set oldest=4.2 --set-file password=/root/good")?.code_is(27)?;
        ensure_said(&too_old, &format!("it is of series {series}, and 4.2 is the oldest that is supported"))?;
        let refused = run("--set oldest=3.4 --set-file password=/root/wrong")?.code_is(27)?;
        ensure_said(&refused, "refuses the login of 'shop': Authentication failed. (code 18)")?;
        run("--set oldest=3.4 --set-file password=/root/good")?.ok()?;
        assert_eq!(host.install("/root/shop")?.changed, 0);
        host.sh("systemctl stop older")?;
    }
    Ok(())
}
