//! Redis: users, hosts without IPv6, what was there before, servers of other hosts, drift and failures.

use anyhow::{Context, Result, ensure};
use lab::{Host, Snapshot, Suite, run::ensure_said, snapshot, tool};

/// Runs a script in which `$CLI` is Redis' own client, logged in as the blueprint's user, whose password is `$p`.
fn as_user(host: &Host, script: &str) -> Result<String> {
    let password = r#"sed -n 's/^user app on ">\([^"]*\)".*/\1/p' /etc/redis/surefoot.conf"#;
    host.sh(&format!(
        "p=$({password}); export REDISCLI_AUTH=\"$p\"; CLI='redis-cli --no-auth-warning --user app'; {script}"
    ))
}

fn cli(host: &Host, command: &str) -> Result<String> {
    as_user(host, &format!("$CLI {command}"))
}

/// A host on which we installed Redis, with a key in it.
fn installed() -> Result<Host> {
    let snapshot = Snapshot::cached("redis", &snapshot::key_of(&lab::place::surefoot()?)?, || {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        host.install_blueprint("redis")?;
        host.surefoot("install /root/redis --yes")?.ok()?;
        cli(&host, "set some thing")?;
        Ok(host)
    })?;
    let host = Host::builder(Suite::Bookworm).from(&snapshot).boot()?;
    host.sh("until [ \"$(redis-cli ping 2>&1 | cut -c1-6)\" = NOAUTH ]; do :; done")?;
    Ok(host)
}

#[test]
fn a_user_in_place_of_the_default_one_on_hosts_with_and_without_ipv6() -> Result<()> {
    for (suite, ipv6) in [(Suite::Bookworm, false), (Suite::Trixie, true), (Suite::Bullseye, false)] {
        let host = Host::boot(suite)?;
        if !ipv6 {
            // Inside, /proc/sys cannot be written to.
            let off = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
            tool::tool("ip", ["netns", "exec", &host.netns().name, "sh", "-c", off])?;
        }
        host.install_binary()?;
        host.install_blueprint("redis")?;
        host.surefoot("install /root/redis --yes")?.ok().with_context(|| suite.to_string())?;
        assert_eq!(cli(&host, "set a b && $CLI publish c d")?, "OK\n0");
        assert_eq!(cli(&host, "config get maxmemory")?, "maxmemory\n67108864");
        // Nobody else gets in: without a name, with a wrong password, as the default user.
        for login in ["", "-a wrong", "--user app -a wrong", "--user default -a ''"] {
            let answer = host.sh(&format!("redis-cli --no-auth-warning {login} get a 2>&1 || true"))?;
            ensure!(answer.contains("NOAUTH") || answer.contains("WRONGPASS"), "{suite} {login}: {answer}");
        }
        let listeners = host.sh("ss -Hltn 'sport = 6379' | awk '{print $4}' | sort")?;
        assert_eq!(listeners, if ipv6 { "127.0.0.1:6379\n[::1]:6379" } else { "127.0.0.1:6379" }, "{suite}");
        let again = host.surefoot("install /root/redis --yes")?.ok()?;
        ensure_said(&again, " in place, 0 changed, 0 failed")?;
    }
    Ok(())
}

#[test]
fn drift_in_redis_is_shown_and_put_right() -> Result<()> {
    let host = installed()?;
    for (drift, item) in [
        ("$CLI acl setuser app '>other' '<'$p", "restart: it refuses the login"),
        ("$CLI acl setuser app -@all", "restart: it refuses the login"),
        ("$CLI acl deluser app", "restart: it refuses the login"),
        ("$CLI acl setuser app '>other'", "restart: user app is let in with another password, too"),
        ("$CLI acl setuser app -@dangerous", "restart: user app may not do everything: NOPERM"),
        ("$CLI acl setuser app -set", "restart: user app may not do everything: commands +@all -set"),
        ("$CLI acl setuser app resetkeys '~a:*'", "restart: user app may not do everything: keys"),
        ("$CLI acl setuser default on nopass '~*' +@all", "restart: user default is let in, too"),
        ("sed -i 's/^maxmemory .*/maxmemory 1/' /etc/redis/surefoot.conf", "content"),
        ("sed -i '/surefoot.conf/d' /etc/redis/redis.conf", "set include"),
        ("systemctl stop redis-server", "start"),
        ("systemctl disable redis-server", "enable"),
        ("chown root: /var/lib/redis", "owner root:root"),
        ("$CLI config set maxmemory 2mb", "restart: maxmemory is 2097152, not 67108864"),
        ("$CLI config set bind 0.0.0.0", "restart: it listens on 0.0.0.0:6379, too"),
        (
            "echo bind 0.0.0.0 >>/etc/redis/redis.conf && systemctl restart redis-server",
            "a line for bind comes after it",
        ),
    ] {
        as_user(&host, drift)?;
        for command in ["status", "plan"] {
            let arguments = if command == "plan" { "plan --verbose /root/redis" } else { "status --verbose" };
            ensure_said(&host.surefoot(arguments)?, item).with_context(|| format!("{command} after {drift}"))?;
        }
        host.surefoot("install /root/redis --yes")?.ok().context(drift)?;
        assert_eq!(cli(&host, "get some")?, "thing", "{drift}");
        assert_eq!(host.surefoot("status --exit-code")?.code(), 0, "{drift}");
    }
    Ok(())
}

#[test]
fn a_redis_that_was_there_keeps_its_data_and_configuration() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.install_blueprint("redis")?;
    host.sh("apt-get update && apt-get install --yes --no-install-recommends redis-server")?;
    host.sh("sed -i 's/^databases .*/databases 3/; s/^appendonly .*/appendonly yes/' /etc/redis/redis.conf && echo 'user guest on >guest ~g:* +get' >>/etc/redis/redis.conf")?;
    host.sh("systemctl stop redis-server && rm -f /var/lib/redis/dump.rdb && systemctl enable --now redis-server")?;
    host.sh("until redis-cli set g:1 kept; do :; done")?;
    let before = host.read("/etc/redis/redis.conf")?;

    // More than it would be let have, a log that nobody writes to any more: nothing is touched.
    let refused = |words: &str| {
        ensure_said(&host.surefoot("install /root/redis --yes")?.code_is(31)?, words)?;
        assert_eq!(host.read("/etc/redis/redis.conf")?, before);
        anyhow::Ok(())
    };
    host.sh("redis-cli eval \"for i=1,80 do redis.call('set','big:'..i,string.rep('x',1048576)) end\" 0")?;
    refused("it says used_memory:")?;
    host.sh("systemctl stop redis-server")?;
    refused("/var/lib/redis/dump.rdb was written with ")?;
    host.sh("systemctl start redis-server && until redis-cli eval \"for i=1,80 do redis.call('del','big:'..i) end\" 0; do :; done")?;
    host.sh("redis-cli config set appendonly no")?;
    refused("redis-server.service would lose its data by a restart with a log of writes")?;
    host.sh("redis-cli config set appendonly yes")?;
    // Users of theirs that would win: the server would not take our login, or not come up at all.
    for line in ["user default on >theirs ~* +@all", "user app on >theirs ~* +@all", "aclfile /etc/redis/users.acl"] {
        host.sh(&format!("cp -p /etc/redis/redis.conf /root && echo '{line}' >>/etc/redis/redis.conf"))?;
        let named: Vec<&str> = line.split(' ').take(2).collect();
        let output = host.surefoot("install /root/redis --yes")?.code_is(31)?;
        ensure_said(&output, &format!("has a line '{}'", named.join(" ")))?;
        host.sh("cp -p /root/redis.conf /etc/redis")?;
        assert_eq!(host.read("/etc/redis/redis.conf")?, before, "{line}");
    }

    let plan = host.surefoot("plan --verbose /root/redis")?;
    ensure_said(&plan, "+include /etc/redis/surefoot.conf")?;
    host.surefoot("install /root/redis --yes")?.ok()?;
    assert_eq!(cli(&host, "get g:1")?, "kept");
    assert_eq!(cli(&host, "config get databases | tail -1")?, "3");
    assert_eq!(host.sh("redis-cli --no-auth-warning --user guest -a guest get g:1")?, "kept");

    host.surefoot("uninstall --yes")?.ok()?;
    assert_eq!(host.read("/etc/redis/redis.conf")?, before);
    assert_eq!(host.sh("until redis-cli ping >/dev/null; do :; done; redis-cli get g:1")?, "kept");
    Ok(())
}

#[test]
fn a_redis_of_another_host_is_only_asked() -> Result<()> {
    let (server, client) = (Host::boot(Suite::Bookworm)?, Host::boot(Suite::Bookworm)?);
    for host in [&server, &client] {
        host.install_binary()?;
        host.install_blueprint("redis")?;
        host.write("/root/password", "a \"quoted\" one", 0o600)?;
        host.write("/root/wrong", "another", 0o600)?;
    }
    let address = server.address();
    server
        .surefoot(&format!("install /root/redis --yes --set address={address} --set-file password=/root/password"))?
        .ok()?;
    let install =
        format!("install /root/redis --yes --set server={address}:6379 --set user=default --set-file password=");
    client.surefoot(&format!("{install}/root/password"))?.ok()?;
    assert_eq!(client.sh("dpkg-query -W 'redis*' 2>/dev/null || true")?, "");
    let refused = client.surefoot(&format!("{install}/root/wrong"))?.code_is(27)?;
    ensure_said(&refused, "(WRONGPASS)")?;
    server.sh("systemctl stop redis-server")?;
    let silent = client.surefoot(&format!("{install}/root/password"))?.code_is(26)?;
    ensure_said(&silent, "connection refused: nothing listens there")
}

#[test]
fn failures_of_redis_have_its_own_words_as_evidence() -> Result<()> {
    let host = installed()?;
    for (fault, mend, code, words) in [
        (
            "echo nonsense-here 1 >>/etc/redis/redis.conf",
            "sed -i /nonsense-here/d /etc/redis/redis.conf",
            26,
            "Bad directive or wrong number of arguments",
        ),
        (
            "systemctl stop redis-server && chown -R root: /var/lib/redis/appendonlydir && chmod 0700 /var/lib/redis/appendonlydir",
            "chown -R redis: /var/lib/redis/appendonlydir",
            26,
            "Permission denied",
        ),
        (
            "systemctl stop redis-server && systemd-run -u squatter redis-server --port 6379 --bind 127.0.0.1 --dir /tmp && \
             until ss -Hltn 'sport = 6379' | grep -q .; do :; done",
            "systemctl stop squatter",
            25,
            "squatter.service",
        ),
        (
            "mkdir -p /etc/systemd/system/redis-server.service.d && printf '[Service]\\nLimitAS=40M\\n' >/etc/systemd/system/redis-server.service.d/small.conf && systemctl daemon-reload && systemctl stop redis-server",
            "rm -r /etc/systemd/system/redis-server.service.d && systemctl daemon-reload",
            26,
            "Can't initialize Background Jobs",
        ),
        (
            "mkdir -p /etc/systemd/system/redis-server.service.d && printf '[Service]\\nUser=nosuch\\n' >/etc/systemd/system/redis-server.service.d/user.conf && systemctl daemon-reload && systemctl stop redis-server",
            "rm -r /etc/systemd/system/redis-server.service.d && systemctl daemon-reload",
            26,
            "redis-server.service: Failed at step USER",
        ),
        // It is asked to stop, cannot write what it holds, and goes on: to systemd it is stopping, for ever.
        (
            "$CLI config set save '60 1' && mkdir /var/lib/redis/temp-$(pidof redis-server).rdb && systemctl stop --no-block redis-server && \
             until grep -q \"can't exit\" /var/log/redis/redis-server.log; do sleep 0.1; done",
            "rmdir /var/lib/redis/temp-*.rdb",
            26,
            "Error trying to save the DB, can't exit",
        ),
    ] {
        as_user(&host, fault)?;
        let output = host.surefoot("install /root/redis --yes")?;
        ensure_said(&output, words).context(fault)?;
        assert_eq!(output.code(), code, "{fault}: {}", output.stderr);
        host.sh(mend)?;
        host.surefoot("install --resume --yes")?.ok().context(mend)?;
        assert_eq!(cli(&host, "get some")?, "thing", "{fault}");
    }
    Ok(())
}
