//! The built-in blueprint `stackstorm` for 3.2 with Mistral and PostgreSQL, on a stand-in for Ubuntu 16.04, with stand-ins for the vendor's
//! packages and for PostgreSQL 9.5.

use anyhow::{Result, ensure};
use lab::{
    Digest, Host, Snapshot, Suite,
    run::ensure_said,
    stackstorm::{self, MISTRAL_VERSION, PASSWORD, Servers, Vendors, python, session, with_mistral},
};
use std::time::Duration;

const INSTALL: [&str; 6] = ["surefoot", "install", "stackstorm", "--yes", "--answers", "/root/answers.toml"];

/// A host on which nothing is installed yet, with answers that say that everything is to be.
fn prepared(servers: &Servers, vendors: &Vendors, more: &str) -> Result<Host> {
    let host = with_mistral()?.host().boot()?;
    host.install_binary()?;
    host.write("/root/answers.toml", servers.answers(vendors) + more, 0o600)?;
    Ok(host)
}

/// What Mistral's own API says, asked as StackStorm would.
const API: &str = "python3 -c 'import urllib.request as u; \
                   print(*(u.urlopen(\"http://127.0.0.1:8989/v2/\" + path).status for path in (\"\", \"workflows\")))'";

/// PostgreSQL's superuser asks.
fn sql(host: &Host, question: &str) -> Result<String> {
    let psql = ["runuser", "-u", "postgres", "--", "/usr/lib/postgresql/9.5/bin/psql", "-XAtq", "-f", "-"];
    Ok(host.run(psql).stdin(question).output()?.ok()?.stdout.trim_end().to_owned())
}

fn runs_actions(host: &Host) -> Result<()> {
    let code = format!("{}print(run('core.local', cmd='id -un')['result']['stdout'])", session(PASSWORD));
    assert_eq!(python(host, &code)?, "stanley");
    Ok(())
}

fn changes_nothing_again(host: &Host) -> Result<()> {
    ensure_said(&host.exec(INSTALL)?.ok()?, " in place, 0 changed, 0 failed")?;
    let execs = host.count_execs(INSTALL)?;
    ensure!(execs <= 12, "{execs} programs were started by a second run");
    let best = host.quickest(&INSTALL)?;
    ensure!(best < Duration::from_millis(250), "a second run took {best:?}");
    Ok(())
}

#[test]
#[ignore = "one of the longest: make everything"]
fn stackstorm_with_mistral_and_postgresql_is_installed() -> Result<()> {
    let (servers, vendors) = (Servers::start()?, Vendors::with(Suite::Xenial, MISTRAL_VERSION)?);
    let fresh = Digest::of(&with_mistral()?.host().boot()?)?;
    let host = prepared(&servers, &vendors, "")?;
    let plan = host.exec(["surefoot", "plan", "stackstorm", "--answers", "/root/answers.toml", "--verbose"])?.ok()?;
    let said = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["st2mistral", "postgresql-9.5", "st2resultstracker", "gets no updates in its standard support any more"]
    {
        ensure!(said.contains(words), "{words} is not in {said}");
    }
    host.exec(INSTALL)?.ok()?;
    runs_actions(&host)?;
    assert_eq!(host.sh(API)?, "200 200");
    assert_eq!(host.sh("stat -c '%a %U:%G' /etc/mistral/mistral.conf")?, "640 root:mistral");
    let units =
        "systemctl is-active mistral mistral-api mistral-server st2resultstracker postgresql@9.5-main | sort -u";
    assert_eq!(host.sh(units)?, "active");
    let conf = host.read("/etc/mistral/mistral.conf")?;
    let at = servers.host.address();
    for line in [&format!("@{at}:5672\n"), "@127.0.0.1:5432/mistral\n", "max_pool_size = 50\n", "auth_enable = false\n"]
    {
        ensure!(conf.contains(line), "{line} is not in {conf}");
    }
    ensure!(conf.contains("# Mistral API server port") && !conf.contains("guest:guest"), "{conf}");
    let st2 = host.read("/etc/st2/st2.conf")?;
    ensure!(st2.contains("v2_base_url = http://127.0.0.1:8989/v2\n") && !st2.contains("\nurl = redis"), "{st2}");
    // Passwords are kept, and asked for, as PostgreSQL of that time does; nobody else listens.
    let hash = sql(&host, "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'mistral'")?;
    assert_eq!(hash, "md5");
    assert_eq!(host.sh("ss -Hltn 'sport = 5432' | awk '{print $4}' | grep -v -e ^127 -e '^\\[::1\\]' || true")?, "");
    host.write("/root/secret", PASSWORD, 0o600)?;
    let seen = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -cF -f /root/secret || true; \
                grep -rlF -f /root/secret /var/log /run/log /var/lib/surefoot/stackstorm/journal* || true";
    assert_eq!(host.sh(seen)?, "0");
    changes_nothing_again(&host)?;

    // What drifts is put right.
    host.sh("systemctl stop mistral-api")?;
    let told = host.install("stackstorm")?;
    ensure!(told.changed == 1, "{told:?}");
    assert_eq!(host.sh(API)?, "200 200");
    host.sh(
        "sed -i 's/^max_pool_size.*/max_pool_size = 1/' /etc/mistral/mistral.conf; chmod 644 /etc/mistral/mistral.conf",
    )?;
    let told = host.install("stackstorm")?;
    // Nobody had taken that up.
    ensure!(told.changed == 2 && told.restarted == 0, "{told:?}");
    host.write("/root/other", "another one: + % $x", 0o600)?;
    let told = host.install("stackstorm --set-file postgresql_password=/root/other")?;
    ensure!(told.changed == 2 && told.restarted == 2, "{told:?}");
    assert_eq!(host.sh(API)?, "200 200");
    let psql = "runuser -u postgres -- /usr/lib/postgresql/9.5/bin/psql -q -d mistral -c";
    host.sh(&format!("{psql} 'DELETE FROM action_definitions_v2'"))?;
    let told = host.install("stackstorm")?;
    ensure!(told.changed == 1, "{told:?}");
    assert_eq!(host.sh(&format!("{psql} 'SELECT count(*) > 5 FROM action_definitions_v2' -At"))?, "t");

    // The database stays until it is to go, too.
    host.surefoot("uninstall --yes")?.ok()?;
    ensure!(host.exists("/var/lib/postgresql/9.5/main/PG_VERSION")? && !host.exists("/opt/stackstorm/mistral/bin")?);
    host.surefoot("uninstall --purge --yes")?.ok()?;
    let left = Digest::diff(&fresh, &Digest::of(&host)?)
        .into_iter()
        .filter(|line| !THEIRS.iter().any(|one| line[2..].starts_with(one)));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    Ok(())
}

/// What the packages' own purge leaves.
const THEIRS: [&str; 28] = [
    "group st2",
    "group stanley",
    "group mistral",
    "group postgres",
    "group ssl-cert",
    "user st2",
    "user stanley",
    "user mistral",
    "user postgres",
    "file /etc/subgid",
    "file /etc/subuid",
    "file /var/www",
    "file /var/lib/dpkg/statoverride-old",
    "file /home/stanley d",
    "file /home/stanley/.bash",
    "file /home/stanley/.profile",
    "file /var/lib/postgresql d",
    "file /var/cache/debconf/",
    "file /var/lib/ucf/",
    // Fonts, which nginx's modules bring, have scripts that make files in /etc.
    "package fontconfig-config",
    "package fonts-dejavu-core",
    "file /etc/fonts",
    "file /usr/local/share/fonts",
    "file /var/lib/dpkg/info/fontconfig-config.",
    "file /var/lib/dpkg/info/fonts-dejavu-core.",
    // What the test put there.
    "file /root/",
    "file /home/jo/",
    "file /usr/local/bin/surefoot",
];

#[test]
#[ignore = "one of the longest: make everything"]
fn mistral_uses_a_postgresql_that_is_there_and_goes_with_an_upgrade() -> Result<()> {
    let (servers, vendors) = (Servers::start()?, Vendors::with(Suite::Xenial, MISTRAL_VERSION)?);
    let at = servers.host.address();
    let host = prepared(&servers, &vendors, &format!("postgresql_server = '{at}:5432'\n"))?;
    host.write("/root/wrong", "wrong", 0o600)?;
    let wrong = "install stackstorm --yes --answers /root/answers.toml --set-file postgresql_password=/root/wrong";
    let refused = host.surefoot(wrong)?.code_is(27)?;
    let card = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["5432 refuses the login of 'mistral'", "CREATE DATABASE mistral OWNER mistral"] {
        ensure!(card.contains(words), "{words} is not in {}", refused.stderr);
    }
    ensure!(!host.exists("/opt/stackstorm")? && !host.exists("/etc/mistral")?, "something was touched");
    host.exec(INSTALL)?.ok()?;
    runs_actions(&host)?;
    assert_eq!(host.sh(API)?, "200 200");
    assert_eq!(
        host.sh("dpkg-query -W 'postgresql*' 2>/dev/null | grep -v common | awk '$2 != \"\"' | grep -c . || true")?,
        "0"
    );
    changes_nothing_again(&host)?;

    // 3.3 has none: that is told, with what to do.
    vendors.add(Suite::Xenial, "3.3.0-1")?;
    let refused = host.surefoot("install stackstorm --yes --set version=3.3")?.code_is(12)?;
    ensure!(refused.stderr.contains("StackStorm 3.3 has no Mistral"), "{}", refused.stderr);
    assert_eq!(host.read("/opt/stackstorm/st2/VERSION")?, "3.2.0");
    let upgrade = "stackstorm --set version=3.3 --set mistral=false";
    let plan = host.surefoot(&format!("plan {upgrade} --verbose"))?.ok()?.stdout;
    ensure!(plan.contains("(--prune removes them): mistral"), "{plan}");
    host.surefoot(&format!("install {upgrade} --yes --prune"))?.ok()?;
    assert_eq!(host.read("/opt/stackstorm/st2/VERSION")?, "3.3.0");
    runs_actions(&host)?;
    assert_eq!(host.sh("dpkg-query -W -f '${db:Status-Status}' st2mistral; ss -Hltn 'sport = 8989'")?, "config-files");
    ensure!(!host.read("/etc/st2/st2.conf")?.contains("8989"), "StackStorm is still told of Mistral");
    let told = host.install("stackstorm")?;
    ensure!(told.changed + told.restarted == 0, "{told:?}");
    Ok(())
}

#[test]
fn what_mistral_cannot_be_installed_with_is_refused_by_name() -> Result<()> {
    let (servers, vendors) = (Servers::start()?, Vendors::with(Suite::Xenial, MISTRAL_VERSION)?);
    let host = prepared(&servers, &vendors, "")?;
    let refused = |host: &Host, set: &str, words: &[&str]| -> Result<()> {
        let told =
            host.surefoot(&format!("install stackstorm --yes --answers /root/answers.toml {set}"))?.code_is(12)?;
        let card = told.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in words {
            ensure!(card.contains(words), "{set}: {words} is not in {}", told.stderr);
        }
        ensure!(!host.exists("/opt/stackstorm")? && !host.exists("/var/lib/surefoot")?, "{set}: something was touched");
        Ok(())
    };
    refused(
        &host,
        "--set version=3.9",
        &["StackStorm 3.9 has no Mistral", "is not for Ubuntu 16.04", "--set version=3.2"],
    )?;
    refused(&host, "--set mongodb_server=", &["made for MongoDB 3.4 or 4.0", "--set mongodb_server=HOST:27017"])?;
    refused(&host, "--set rabbitmq_server=", &["the RabbitMQ of Ubuntu 16.04.7 LTS is 3.5"])?;
    refused(&host, "--set coordination=redis", &["StackStorm 3.2 has no client of Redis"])?;
    refused(&host, "--set rbac=true", &["neither roles (RBAC) nor users of a directory"])?;
    refused(&host, "--set chatops=other --set chatops_adapter=irc", &["needs Node.js 10"])?;
    // Where apt has the method of https apart, that is told.
    host.sh("mv /usr/lib/apt/methods/https /root/https")?;
    host.sh("sed -i '/^st2_repository/d' /root/answers.toml")?;
    let told = host.surefoot("preflight stackstorm --answers /root/answers.toml")?;
    let said = told.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(said.contains("`apt-get install apt-transport-https`"), "{said}");

    // Nobody built it for another system.
    let other = stackstorm::fresh(Suite::Ubuntu)?.host().boot()?;
    other.install_binary()?;
    other.write("/root/answers.toml", servers.answers(&vendors), 0o600)?;
    refused(&other, "", &["there is no Mistral for Ubuntu 22.04", "Ubuntu 16.04"])?;
    refused(&other, "--set version=3.9", &["StackStorm 3.9 has no Mistral"])?;
    Ok(())
}

#[test]
#[ignore = "a twin with other components: make everything"]
fn stackstorm_3_2_goes_without_mistral() -> Result<()> {
    let (servers, vendors) = (Servers::start()?, Vendors::with(Suite::Xenial, MISTRAL_VERSION)?);
    let answers = |line: &&str| !line.starts_with("mistral") && !line.starts_with("postgresql");
    let host = prepared(&servers, &vendors, "")?;
    let text: Vec<String> = servers.answers(&vendors).lines().filter(answers).map(str::to_owned).collect();
    host.write("/root/answers.toml", text.join("\n"), 0o600)?;
    host.exec(INSTALL)?.ok()?;
    runs_actions(&host)?;
    assert_eq!(
        host.sh("dpkg-query -W 'st2mistral' 'postgresql*' 2>/dev/null | awk '$2 != \"\"' | grep -c . || true")?,
        "0"
    );
    changes_nothing_again(&host)
}

fn first_install_survives(kills: usize) -> Result<()> {
    let (servers, vendors) = (Servers::start()?, Vendors::with(Suite::Xenial, MISTRAL_VERSION)?);
    let snapshot: Snapshot = prepared(&servers, &vendors, "")?.snapshot()?;
    stackstorm::first_install_survives(&snapshot, &INSTALL, kills)
}

#[test]
#[ignore = "a twin with other components: make everything"]
fn a_first_install_of_stackstorm_with_mistral_survives_a_kill() -> Result<()> {
    first_install_survives(1)
}

#[test]
#[ignore = "long: make sweep"]
fn sweep_first_install_of_stackstorm_with_mistral() -> Result<()> {
    first_install_survives(10)
}

/// The kind `schema` by itself, with a command that fills two tables and ends between them.
#[test]
fn tables_of_a_command_that_was_cut_off_are_made_once_more() -> Result<()> {
    const SHOP: &str = "[inputs.password]\ntype = \"secret\"\ngenerate = 24\n\n[[step]]\nid = \"db\"\nkind = \"postgresql\"\nuser = \"shop\"\n\
         password = \"{{ inputs.password }}\"\n\n[[step]]\nid = \"tables\"\nkind = \"schema\"\nserver = \"127.0.0.1:5432\"\nuser = \"shop\"\n\
         password = \"{{ inputs.password }}\"\ndatabase = \"shop\"\ntable = \"first\"\ncommand = [\"/root/migrate\"]\n";
    const MIGRATE: &str = "#!/bin/sh\nset -e\nexport PGPASSWORD=$(cat /root/password)\n\
         for table in first second; do\n  psql -qh 127.0.0.1 -U shop shop -c \"create table if not exists $table (x int); delete from $table; insert into $table values (1)\"\n\
         test ! -e /root/cut || eval \"$(cat /root/cut)\"\ndone\n";
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.write_blueprint("shop", SHOP)?;
    host.write("/root/migrate", MIGRATE, 0o755)?;
    host.write("/root/password", "a password", 0o600)?;
    let tables = || {
        host.sh("runuser -u postgres -- psql -XAtq shop -c \"select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'\"")
    };
    let install = "install /root/shop --yes --set-file password=/root/password";
    host.write("/root/cut", "exit 3", 0o644)?;
    ensure_said(&host.surefoot(install)?.code_is(15)?, "running '/root/migrate'")?;
    assert_eq!(tables()?, "first");
    // We die while it runs, and it with us.
    host.write("/root/cut", "kill -9 $PPID; exit 0", 0o644)?;
    assert_eq!(host.surefoot("install --resume --yes")?.code(), 128 + 9);
    assert_eq!(tables()?, "first");
    host.sh("rm /root/cut")?;
    host.surefoot("install --resume --yes")?.ok()?;
    assert_eq!(tables()?, "first second");
    ensure_said(&host.surefoot(install)?.ok()?, "0 changed, 0 failed")?;
    // Tables of somebody else's are no step's to wait for.
    host.sh("runuser -u postgres -- psql -q shop -c 'alter table first owner to postgres'")?;
    ensure_said(&host.surefoot("plan /root/shop")?.code_is(26)?, "permission denied for table first")?;
    Ok(())
}
