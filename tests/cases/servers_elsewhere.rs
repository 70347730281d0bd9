//! The built-in blueprints with servers of another host, which somebody else looks after: stand-ins for StackStorm's and MongoDB's packages,
//! on stand-ins for Ubuntu 22.04.

use anyhow::{Result, ensure};
use lab::{
    Host, Suite,
    run::ensure_said,
    stackstorm::{self, PASSWORD, Vendors, python, session},
};

/// What StackStorm's client of Redis can be told.
const REDIS: &str = "It's 100% \"s cr t\" @ \\x";

/// A name that no certificate can have as its common name.
const SITE: &str = "the-first-of-the-hosts-that-run-automation.of-the-whole-department.corp.example";

/// A host with the three servers, that others reach too, with passwords of somebody's choice; of StackStorm nothing runs there.
fn servers() -> Result<Host> {
    let host = stackstorm::installed()?.host().boot()?;
    host.write("/root/mongodb", PASSWORD, 0o600)?;
    host.write("/root/redis", REDIS.replace('\\', "\\\\").replace('"', "\\\""), 0o600)?;
    host.sh(
        "systemctl stop 'st2*' nginx
         sed -i 's/bindIp: .*/bindIp: 0.0.0.0/' /etc/mongod.conf
         sed -i 's/^listeners.tcp.default = .*/listeners.tcp.default = 0.0.0.0:5672/' /etc/rabbitmq/conf.d/90-surefoot.conf
         sed -i '/^bind /d; /^requirepass /d' /etc/redis/surefoot.conf
         printf 'bind 0.0.0.0\\nrequirepass \"%s\"\\n' \"$(cat /root/redis)\" >>/etc/redis/surefoot.conf
         systemctl restart redis-server mongod rabbitmq-server
         rabbitmqctl -q change_password stackstorm </root/mongodb",
    )?;
    mongodb(&host, "stackstorm", "[db.drop_collection(name) for name in db.list_collection_names()]")?;
    mongodb(&host, "admin", "db.command('updateUser', 'stackstorm', pwd=open('/root/mongodb').read())")?;
    mongodb(&host, "admin", "db.client.app.command('createUser', 'app', pwd='app', roles=['readWrite'])")?;
    Ok(host)
}

/// Real pymongo on the servers' host; `db` is the database `st2`, as the user whose URL is on disk.
fn mongodb(host: &Host, user: &str, code: &str) -> Result<String> {
    let database = if user == "admin" { "admin" } else { "st2" };
    let code = format!(
        "import sys\nsys.path.insert(0, '/usr/lib/mongodb-stand-in')\nimport pymongo\n\
         db = pymongo.MongoClient(open('/etc/mongodb/{database}.{user}').read().strip()).st2\n{code}\n"
    );
    Ok(host.run(["python3", "-"]).stdin(code).output()?.ok()?.stdout)
}

#[test]
fn servers_of_another_host_are_used_by_stackstorm_and_left_alone() -> Result<()> {
    let (servers, vendors) = (servers()?, Vendors::start(Suite::Ubuntu)?);
    let at = servers.address();
    let host = stackstorm::fresh(Suite::Ubuntu)?.host().boot()?;
    host.install_binary()?;
    for (name, password) in [("good", PASSWORD), ("redis", REDIS), ("slash", "a/b"), ("wrong", "wrong"), ("app", "app")]
    {
        host.write(&format!("/root/{name}"), password, 0o600)?;
    }
    host.write("/root/answers.toml", vendors.answers(), 0o600)?;
    let given = |mongodb: &str, rabbitmq: &str, redis: &str| {
        format!(
            "stackstorm --answers /root/answers.toml --set site={SITE} --set mongodb_server={at}:27017 --set rabbitmq_server={at}:5672 --set redis_server={at}:6379 \
             --set-file mongodb_password=/root/{mongodb} --set-file rabbitmq_password=/root/{rabbitmq} --set-file redis_password=/root/{redis}"
        )
    };

    // A login that is refused names server, user and remedy, before anything is touched.
    for (mongodb, rabbitmq, redis, code, words) in [
        (
            "wrong",
            "good",
            "redis",
            27,
            ["MongoDB at", "27017 refuses the login of 'stackstorm'", "createUser({ user: 'stackstorm'"],
        ),
        (
            "good",
            "wrong",
            "redis",
            27,
            ["RabbitMQ at", "5672 refuses the login of 'stackstorm'", "rabbitmqctl set_permissions -p / stackstorm"],
        ),
        ("good", "good", "wrong", 27, ["Redis at", "6379 refuses the login of its default user", "requirepass"]),
        ("good", "good", "slash", 10, ["redis_password", "is not of the pattern", ""]),
    ] {
        let refused = host.surefoot(&format!("install --yes {}", given(mongodb, rabbitmq, redis)))?.code_is(code)?;
        let card = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            ensure!(card.contains(word), "{word} is not in {}", refused.stderr);
        }
    }
    self::mongodb(&servers, "admin", "db.command('updateUser', 'stackstorm', roles=['read'])")?;
    let refused = host.surefoot(&format!("plan {}", given("good", "good", "redis")))?.code_is(27)?;
    ensure_said(&refused, "refuses the login of 'stackstorm': not authorized")?;
    self::mongodb(&servers, "admin", "db.command('updateUser', 'stackstorm', roles=['readWrite'])")?;
    ensure!(!host.exists("/opt/stackstorm")? && !host.exists("/etc/apt/sources.list.d/surefoot-stackstorm.sources")?);

    let told = host.install(&given("good", "good", "redis"))?;
    ensure!(told.changed > 0, "{told:?}");
    let code = format!("{}print(run('core.local', cmd='echo $((6*7))')['result']['stdout'])", session(PASSWORD));
    assert_eq!(python(&host, &code)?, "42");
    let here = "dpkg-query -W 'mongodb*' 'rabbitmq*' 'redis*' 'erlang*' 2>/dev/null | grep -c . || true; ls -d /etc/mongodb 2>/dev/null || true";
    assert_eq!(host.sh(here)?, "0", "servers were installed here, too");
    let told = host.install(&given("good", "good", "redis"))?;
    ensure!(told.changed + told.restarted == 0, "{told:?}");

    // The other blueprint takes each of its servers from elsewhere, too.
    let given = format!(
        "services --set site=other.lab.test --set https_port=8443 --set http_port=8080 --set rabbitmq=false --set postgresql=false --set mongodb=true \
         --set mongodb_server={at}:27017 --set redis_server={at}:6379 --set-file mongodb_password=/root/app --set-file redis_password=/root/redis"
    );
    let plan = host.surefoot(&format!("plan {given} --verbose"))?.ok()?.stdout;
    ensure!(
        plan.contains("mongodb") && !plan.contains("mongodb-org-server") && !plan.contains("redis-server"),
        "{plan}"
    );
    let told = host.install(&given)?;
    ensure!(told.changed > 0, "{told:?}");
    let told = host.install(&given)?;
    ensure!(told.changed + told.restarted == 0, "{told:?}");
    assert_eq!(host.sh(here)?, "0", "servers were installed here, too");
    self::mongodb(&servers, "admin", "db.client.app.command('updateUser', 'app', pwd='other')")?;
    let refused = host.surefoot("plan services")?.code_is(27)?;
    ensure_said(&refused, "authentication failed (code 18)")?;
    Ok(())
}
