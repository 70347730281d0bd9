//! Looking needs no root where everybody may look, and never writes.

use anyhow::{Context, Result, ensure};
use lab::{Host, Suite, installed};
use serde_json::Value;
use std::time::Duration;

/// Calls that change a file system when they succeed; opens are judged by their flags.
const CHANGES: &str = "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,\
    chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat,truncate,ftruncate,fallocate,utimensat,setxattr,fsetxattr,mount,umount2";

/// Runs it as `user` and lists every call of it and of what it starts that would change a file.
fn writes(host: &Host, user: &str, args: &str) -> Result<Vec<String>> {
    let trace = format!("trace=open,openat,creat,{CHANGES}");
    let mut words = vec!["strace", "-f", "-qq", "-e", "signal=none", "-e", &trace, "-o", "/tmp/trace", "surefoot"];
    words.extend(args.split(' '));
    let output = host.exec_as(user, words)?;
    let log = host.read("/tmp/trace")?;
    host.sh("rm /tmp/trace")?;
    ensure!(log.contains("O_RDONLY"), "`surefoot {args}` opened nothing: {output:?}");
    let wrote = |line: &&str| {
        let opened = line.contains("open(") || line.contains("openat(");
        let changes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag));
        let device = line.contains("\"/dev/null\"") || line.contains("\"/dev/tty\"");
        // A thread that had ended before strace knew what it had called.
        let nothing = line.contains("???(");
        line.contains('(') && !nothing && !(opened && (!changes || device))
    };
    Ok(log.lines().filter(wrote).map(str::to_owned).collect())
}

#[test]
fn looking_writes_nothing() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    host.sh("cp -r /root/web /srv/web && chmod 0600 /var/www/web-site/index.html")?;
    for (user, command) in [
        ("nobody", "plan /srv/web"),
        ("nobody", "preflight /srv/web"),
        ("nobody", "facts"),
        ("nobody", "status"),
        ("nobody", "blueprint show /srv/web"),
        ("root", "plan /srv/web"),
        ("root", "preflight /srv/web"),
        ("root", "status"),
        ("root", "why"),
        ("root", "log"),
    ] {
        let wrote = writes(&host, user, command)?;
        ensure!(wrote.is_empty(), "`surefoot {command}` as {user}:\n{}", wrote.join("\n"));
    }
    // A product that was never begun, on a host that surefoot has not seen.
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    for user in ["nobody", "root"] {
        let wrote = writes(&host, user, "plan services")?;
        ensure!(wrote.is_empty(), "as {user}:\n{}", wrote.join("\n"));
    }
    ensure!(!host.exists("/var/lib/surefoot")? && !host.exists("/var/log/surefoot")?);
    // What only root may read keeps nobody from seeing the rest.
    host.write("/etc/apt/sources.list.d/own.list", "deb http://jo:pass@own.example/x stable main\n", 0o600)?;
    host.exec_as("nobody", ["surefoot", "plan", "services"])?.ok()?;
    let listed = host.exec_as("nobody", ["surefoot", "endpoints", "services"])?.ok()?;
    ensure!(listed.stderr.contains("only root may read /etc/apt/sources.list.d/own.list"), "{}", listed.stderr);
    ensure!(!listed.stdout.contains("own.example") && listed.stdout.contains("deb"), "{}", listed.stdout);
    let checks = host.exec_as("nobody", ["surefoot", "preflight", "services"])?;
    ensure!((checks.stdout.clone() + &checks.stderr).contains("own.list"), "{checks:?}");
    Ok(())
}

/// What an ordinary user's plan answers: `in_place`, `changes`, `pending` or `hidden`, by resource.
fn answers(host: &Host) -> Result<impl Fn(&str) -> Result<String>> {
    let plan = host.exec_as("nobody", ["surefoot", "plan", "/srv/web", "--output", "json"])?.ok()?.stdout;
    let plan: Value = serde_json::from_str(&plan)?;
    let steps = plan["steps"].as_array().context("no steps")?.clone();
    Ok(move |id: &str| {
        let resources = steps.iter().filter_map(|step| step["resources"].as_array()).flatten();
        let found = resources.into_iter().find(|resource| resource["id"] == id).with_context(|| format!("no {id}"))?;
        Ok(found["answer"].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn an_ordinary_user_sees_what_everybody_may_see() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    host.sh("cp -r /root/web /srv/web")?;
    let answer = answers(&host)?;
    for (resource, wanted) in [
        ("redis/packages:all", "in_place"),
        ("site/packages:all", "in_place"),
        ("site/directory:/var/www/web-site", "in_place"),
        ("site/file:/var/www/web-site/index.html", "in_place"),
        ("site/file:/etc/nginx/sites-available/web-site.conf", "in_place"),
        ("site/symlink:/etc/nginx/sites-enabled/zz-web-site.conf", "in_place"),
        ("site/absent:/etc/nginx/sites-enabled/default", "in_place"),
        ("site/service:nginx.service", "in_place"),
        ("redis/file:/etc/redis/surefoot.conf", "hidden"),
        ("redis/service:redis-server.service", "hidden"),
    ] {
        assert_eq!(answer(resource)?, wanted, "{resource}");
    }

    host.sh("systemctl stop redis-server && systemctl disable nginx && dpkg --force-depends --remove nginx")?;
    host.sh("echo changed >>/var/www/web-site/index.html")?;
    let answer = answers(&host)?;
    for resource in
        ["redis/service:redis-server.service", "site/packages:all", "site/file:/var/www/web-site/index.html"]
    {
        assert_eq!(answer(resource)?, "changes", "{resource}");
    }

    // A port that somebody else has.
    let listen = "$socket = IO::Socket::INET->new(LocalPort => 6379, Listen => 1) or die; print qq(up\\n); sleep";
    let mut squatter = host.run(["perl", "-MIO::Socket::INET", "-e", &format!("$| = 1; {listen}")]).spawn()?;
    squatter.wait_for("up", Duration::from_secs(60))?;
    let checks = host.exec_as("nobody", ["surefoot", "preflight", "/srv/web"])?;
    let text = checks.stdout.clone() + &checks.stderr;
    ensure!(!checks.success() && text.contains("6379"), "{text}");
    squatter.kill_tree()?;
    Ok(())
}
