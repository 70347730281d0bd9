//! The lab's misbehaving servers and fixture repositories tried with apt.

use anyhow::{Context, Result, ensure};
use lab::{
    Host, Line, Suite,
    repo::{Package, Repo, Signature},
    web::{Answer, Web},
};
use serde_json::Value;

/// Points the host at a repository and at no other.
fn use_repo(host: &Host, web: &Web, repo: &Repo) -> Result<()> {
    repo.offer(web, host)?;
    host.sh("rm /etc/apt/sources.list.d/debian.sources").map(drop)
}

#[test]
fn a_fixture_package_installs_with_its_scripts() -> Result<()> {
    let package = Package::new("lab-thing", "1:2.0-1")
        .field("Depends", "libc-bin")
        .file("/etc/lab-thing.conf", "a = 1\n", 0o640)
        .file("/usr/bin/lab-thing", "#!/bin/sh\necho thing\n", 0o755)
        .script("postinst", "#!/bin/sh\necho done >/srv/postinst\n");
    let (repo, web) = (Repo::new(&[package])?, Web::start()?);
    let host = Host::boot(Suite::Bookworm)?;
    use_repo(&host, &web, &repo)?;
    host.exec(["apt-get", "update"])?.ok()?;
    host.exec(["apt-get", "install", "--yes", "lab-thing"])?.ok()?;
    assert_eq!(host.sh("lab-thing; cat /srv/postinst; stat -c %a /etc/lab-thing.conf")?, "thing\ndone\n640");
    ensure!(web.count("/apt/pool/") == 1 && web.count("/apt/dists/stable/InRelease") == 1);
    assert_eq!(repo.fingerprint().len(), 40);

    repo.add(&[Package::new("lab-other", "1")])?;
    host.sh("apt-get update && apt-get install --yes lab-other")?;
    Ok(())
}

#[test]
fn apt_sees_each_fault_of_a_repository() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let web = Web::start()?;
    let update = |repo: &Repo| -> Result<String> {
        host.sh("rm -rf /var/lib/apt/lists/*; rm -f /etc/apt/sources.list.d/*; touch /etc/apt/sources.list.d/debian.sources")?;
        use_repo(&host, &web, repo)?;
        let output = host.exec(["apt-get", "-o", "Acquire::Retries=0", "update"])?;
        Ok(output.stdout + &output.stderr)
    };
    let packages = [Package::new("lab-thing", "1")];
    let repo = || Repo::new(&packages);

    for (repo, wanted) in [
        (repo()?.signed(Signature::Wrong)?, "NO_PUBKEY"),
        (repo()?.signed(Signature::None)?, "is not signed"),
        (repo()?.expired()?, "expired"),
    ] {
        let said = update(&repo)?;
        ensure!(said.contains(wanted), "{wanted} is missing in:\n{said}");
    }
    let good = repo()?;
    for (answer, wanted) in [
        (Answer::Status(503), "503"),
        (Answer::Status(404), "404"),
        (Answer::Garbage, "Clearsigned file isn't valid"),
        (Answer::Cut(10), "Remote end closed"),
        (Answer::Close, "Connection failed"),
    ] {
        web.answer("/apt/dists/", answer.clone());
        let said = update(&good)?;
        ensure!(said.contains(wanted), "{answer:?}: {wanted} is missing in:\n{said}");
        web.behave();
    }
    web.answer_times(1, "/apt/dists/stable/InRelease", Answer::Status(500));
    update(&good)?;
    let said = update(&good)?;
    ensure!(!said.contains("Err") && !said.contains("W:"), "{said}");
    Ok(())
}

/// Over a long line, what is light goes first, with RabbitMQ: dpkg does not wait for what is large.
#[test]
fn what_is_light_goes_first_where_servers_are_far() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let _line = Line::lay(&host)?;
    let output = host.surefoot("install services --yes --output json")?.ok()?;
    let events = output.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let named = events.iter().filter_map(|event| event["argv"].as_array()).map(|argv| {
        let words = argv.iter().filter_map(Value::as_str).skip_while(|word| *word != "--no-remove").skip(1);
        words.take_while(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(
        named.filter(|names| !names.is_empty()).collect::<Vec<_>>(),
        ["nginx postgresql-client-15 postgresql-common rabbitmq-server redis-server", "postgresql-15"]
    );
    Ok(())
}

/// Over a long line, what the second half needs is fetched while dpkg is at work on the first. On a short one there is one transaction.
#[test]
fn packages_are_fetched_ahead_where_servers_are_far() -> Result<()> {
    for far in [false, true] {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        let blueprint = host.install_blueprint("web")?;
        let _line = far.then(|| Line::lay(&host)).transpose()?;
        let output = host.surefoot(&format!("install --yes --output json {blueprint}"))?.ok()?;
        let events: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let of = |kind: &'static str| events.iter().enumerate().filter(move |(_, event)| event["type"] == kind);
        let is =
            |event: &Value, word: &str| event["argv"].as_array().is_some_and(|argv| argv.iter().any(|arg| arg == word));
        let started = |word: &str| {
            of("command_started")
                .filter(|(_, event)| is(event, word))
                .map(|(at, event)| (at, event["command"].clone()))
                .collect::<Vec<_>>()
        };
        let end =
            |command: &Value| of("command_ended").find(|(_, event)| event["command"] == *command).map(|(at, _)| at);
        let (transactions, ahead) = (started("--no-remove"), started("download-file"));
        assert_eq!((transactions.len(), ahead.len()), if far { (2, 1) } else { (1, 0) });
        if let ([(first, number), (second, _)], [(fetch, _)]) = (&transactions[..], &ahead[..]) {
            let first_end = end(number).context("the first transaction has no end")?;
            ensure!(first < fetch && *fetch < first_end && first_end < *second, "{first} {fetch} {first_end} {second}");
            let said = |(_, event): &(usize, &Value)| {
                event["text"].as_str().is_some_and(|text| text.starts_with("Need to get 0 B/"))
            };
            ensure!(
                of("command_line").any(|line| said(&line)),
                "the second transaction fetched again:\n{}",
                output.stdout
            );
        }
        let again = host.install(&blueprint)?;
        assert_eq!(again.changed, 0);
    }
    Ok(())
}
