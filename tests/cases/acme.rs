//! Certificates of an authority that speaks ACME (pebble), and their renewal.

use anyhow::{Context, Result, ensure};
use lab::run::Output;
use lab::{Digest, Host, Pebble, Suite, pebble};
use serde_json::json;
use std::time::Duration;

/// What curl answers for the site, trusting `/root/root.pem` alone.
const CURL: &str = "curl -sS -o /dev/null -w '%{http_code}' --cacert /root/root.pem https://box.lab.test/";
const INSTALL: &str = "/root/acme --ca-file /root/acme-ca.pem";
const CERTIFICATE: &str = "/etc/surefoot/shop-certificate.crt";
const RESOURCE: &str = "certificate/tls_certificate:/etc/surefoot/shop-certificate.crt";
/// What nginx was started and reloaded as.
const NGINX: &str = "systemctl show -P InvocationID nginx; pgrep -P $(systemctl show -P MainPID nginx) | sort";

/// A host that `pebble` gives certificates to, with curl and openssl.
fn known_to(pebble: &Pebble, suite: Suite) -> Result<Host> {
    let host = Host::boot(suite)?;
    host.install_binary()?;
    host.install_blueprint("acme")?;
    host.sh("apt-get -qq update && apt-get -qq install --yes --no-install-recommends curl openssl procps >/dev/null")?;
    pebble.introduce(&host, "box.lab.test")?;
    host.write("/root/root.pem", pebble.root()?, 0o644)?;
    Ok(host)
}

fn serial(host: &Host, from: &str) -> Result<String> {
    host.sh(&format!("{from} | openssl x509 -noout -serial"))
}

fn shown(host: &Host) -> Result<String> {
    serial(host, "openssl s_client -connect 127.0.0.1:443 -servername box.lab.test </dev/null 2>/dev/null")
}

fn on_disk(host: &Host) -> Result<String> {
    serial(host, &format!("cat {CERTIFICATE}"))
}

/// Puts a certificate of somebody else's for the same key there, as one that was given 60 days ago and has `days` left.
const OLD: &str = "mkdir -p /root/old/new; cd /root/old; : >index.txt; \
    printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=index.txt\\nnew_certs_dir=new\\nrand_serial=yes\\ndefault_md=sha256\\npolicy=p\\n\
copy_extensions=copy\\n[p]\\ncommonName=supplied\\n' >ca.cnf; \
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 99 -subj /CN=old 2>/dev/null; \
    openssl req -new -key /etc/surefoot/shop-certificate.key -subj /CN=box.lab.test -addext subjectAltName=DNS:box.lab.test -out csr; \
    openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in csr -out old.pem \
      -startdate $(date -ud '-60 days' +%Y%m%d%H%M%SZ) 2>/dev/null -enddate";

fn grow_old(host: &Host, days: u32) -> Result<()> {
    let end = format!("$(date -ud '{days} days' +%Y%m%d%H%M%SZ)");
    host.sh(&format!("{OLD} {end}; cat old.pem >{CERTIFICATE}; systemctl reload nginx")).map(drop)
}

const RENEW: &str = "systemctl start surefoot-shop-certificate.service";

fn lives(suite: Suite) -> Result<()> {
    let pebble = Pebble::boot()?;
    let host = known_to(&pebble, suite)?;
    let before = Digest::of(&host)?;
    let plan = host.surefoot(&format!("plan {INSTALL}"))?.ok()?.stdout;
    ensure!(plan.contains("tls_certificate /etc/surefoot/shop-certificate.crt"), "{plan}");
    ensure!(!pebble.log()?.contains("/sign-me-up"), "a plan asked for an account");
    let endpoints = host.surefoot(&format!("endpoints {INSTALL}"))?.ok()?.stdout;
    ensure!(endpoints.contains("acme.lab.test") && endpoints.contains("14000"), "{endpoints}");

    let told = host.install(INSTALL)?;
    ensure!(told.touched.iter().any(|one| one == RESOURCE), "{told:?}");
    assert_eq!(host.sh(CURL)?, "403");
    let modes = "stat -c %a:%U /etc/surefoot/shop-certificate.key /etc/surefoot/shop-certificate.account";
    assert_eq!(host.sh(modes)?, "600:root\n600:root");
    assert_eq!(host.sh("journalctl -u nginx -o cat | grep -c ^Started")?, "1");
    // Not a line of a key is in what surefoot wrote down.
    let keys = "for f in key account; do sed -n 2p /etc/surefoot/shop-certificate.$f; done";
    for line in host.sh(keys)?.lines() {
        ensure!(line.len() > 40);
        host.exec(["grep", "-rqF", line, "/var/lib/surefoot", "/var/log/surefoot"])?.code_is(1)?;
    }

    // Nobody has to be asked again.
    pebble.stop()?;
    let nginx = host.sh(NGINX)?;
    let told = host.install(INSTALL)?;
    assert_eq!((told.changed, told.restarted), (0, 0), "{told:?}");
    // The timer starts it by itself.
    let soon = "/run/systemd/system/surefoot-shop-certificate.timer.d/soon.conf";
    host.write(soon, "[Timer]\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=1s\n", 0o644)?;
    host.sh("systemctl daemon-reload; systemctl restart surefoot-shop-certificate.timer")?;
    host.sh("timeout 30 sh -c 'until journalctl -u surefoot-shop-certificate -o cat | grep -q \"need not be renewed yet\"; do sleep 0.1; done'")?;
    host.sh(&format!("rm {soon}; systemctl daemon-reload; systemctl restart surefoot-shop-certificate.timer"))?;
    assert_eq!(host.sh(NGINX)?, nginx);

    // A month is left, and a little.
    grow_old(&host, 31)?;
    let old = on_disk(&host)?;
    host.sh(RENEW)?;
    assert_eq!(on_disk(&host)?, old);
    // Less than a month, and nobody there to ask.
    grow_old(&host, 29)?;
    let old = on_disk(&host)?;
    let said = host.surefoot("status --exit-code")?.code_is(2)?.stdout;
    ensure!(said.contains("ask acme.lab.test for a certificate: the certificate expires in 2"), "{said}");
    host.exec(["sh", "-c", RENEW])?.code_is(1)?;
    let said = host.sh("journalctl -u surefoot-shop-certificate -o cat")?;
    ensure!(said.contains("acme.lab.test:14000 cannot be reached: connection refused"), "{said}");
    assert_eq!((shown(&host)?, on_disk(&host)?), (old.clone(), old.clone()));

    pebble.start(&[], json!({}))?;
    host.write("/root/root.pem", pebble.root()?, 0o644)?;
    let started = host.sh("systemctl show -P InvocationID nginx")?;
    host.sh(RENEW)?;
    let renewed = on_disk(&host)?;
    ensure!(renewed != old && shown(&host)? == renewed, "it shows {}, and has {renewed}", shown(&host)?);
    assert_eq!(host.sh(CURL)?, "403");
    assert_eq!(host.sh("systemctl show -P InvocationID nginx")?, started);
    assert_eq!(host.sh("ls -A /var/lib/surefoot-acme")?, "");
    host.surefoot("status --exit-code")?.code_is(0)?;
    let told = host.install(INSTALL)?;
    assert_eq!((told.changed, told.restarted), (0, 0), "{told:?}");
    assert_eq!(host.sh("systemctl show -P ActiveState surefoot-shop-certificate.timer")?, "active");

    host.surefoot("uninstall shop --purge --yes")?.ok()?;
    host.sh("apt-get -qq purge --yes --autoremove nginx-common >/dev/null 2>&1 || true")?;
    let differences = Digest::diff(&before, &Digest::of(&host)?);
    let ours: Vec<&String> = differences.iter().filter(|line| line.contains("surefoot")).collect();
    ensure!(ours.is_empty(), "{ours:?}");
    assert_eq!(host.sh("systemctl list-units --all --no-legend 'surefoot*'")?, "");
    Ok(())
}

#[test]
fn an_authority_gives_a_certificate_and_its_timer_renews_it_on_bookworm() -> Result<()> {
    lives(Suite::Bookworm)
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn an_authority_gives_a_certificate_and_its_timer_renews_it_on_trixie() -> Result<()> {
    lives(Suite::Trixie)
}

#[test]
fn a_kill_while_the_authority_looks_loses_no_key() -> Result<()> {
    let pebble = Pebble::boot()?;
    pebble.start(&["PEBBLE_VA_NOSLEEP=0", "PEBBLE_VA_SLEEPTIME=5"], json!({}))?;
    let host = known_to(&pebble, Suite::Bookworm)?;
    let args = ["surefoot", "install", "--yes", "-v", "/root/acme", "--ca-file", "/root/acme-ca.pem"];
    let mut running = host.run(args).spawn()?;
    running.wait_for("looks at port 80 of this host now", Duration::from_secs(200))?;
    running.kill_tree()?;
    ensure!(!host.exists(CERTIFICATE)?);
    let keys = "cat /etc/surefoot/shop-certificate.key /etc/surefoot/shop-certificate.account";
    let made = host.sh(keys)?;
    host.surefoot("install --resume --yes")?.ok()?;
    assert_eq!(host.sh(keys)?, made);
    assert_eq!(host.sh(CURL)?, "403");
    let told = host.install(INSTALL)?;
    assert_eq!((told.changed, told.restarted), (0, 0), "{told:?}");
    Ok(())
}

#[test]
fn where_nginx_runs_it_answers_for_the_authority() -> Result<()> {
    let pebble = Pebble::boot()?;
    let host = known_to(&pebble, Suite::Bookworm)?;
    pebble.lead("other.lab.test", &host.address())?;
    // Somebody's own nginx answers otherwise.
    host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends nginx >/dev/null")?;
    let said = card(&host.surefoot(&format!("install --yes {INSTALL}"))?.code_is(25)?);
    for part in [
        "port 80 is held by nginx, which does not answer",
        "nginx (pid",
        "status 404",
        "alias /var/lib/surefoot-acme/;",
    ] {
        ensure!(said.contains(part), "{part} is missing in:\n{said}");
    }
    // It does what the card says.
    let answer = "location ^~ /.well-known/acme-challenge/ { alias /var/lib/surefoot-acme/; }";
    host.sh(&format!(
        "sed -i 's|^\tserver_name _;|&\\n\t{answer}|' /etc/nginx/sites-available/default; systemctl reload nginx"
    ))?;
    host.surefoot("install --resume --yes")?.ok()?;
    let given = on_disk(&host)?;
    assert_eq!(shown(&host)?, given);

    // Lost, it is given anew, and nginx takes it up without a start.
    let started = host.sh("systemctl show -P InvocationID nginx")?;
    host.sh(&format!("rm {CERTIFICATE}"))?;
    let told = host.install(INSTALL)?;
    assert_eq!((told.touched, told.restarted), (vec![RESOURCE.to_owned(), "site/service:nginx.service".to_owned()], 1));
    ensure!(on_disk(&host)? != given);
    assert_eq!(shown(&host)?, on_disk(&host)?);
    assert_eq!(host.sh("systemctl show -P InvocationID nginx")?, started);
    // Another name.
    host.sh("sed -i 's/box.lab.test/& other.lab.test/' /etc/hosts")?;
    host.install(&format!("{INSTALL} --set site=other.lab.test"))?;
    assert_eq!(host.sh(&CURL.replace("box.lab.test", "other.lab.test"))?, "403");

    // The site of a certificate that signs itself answers, too, for an authority that is chosen later.
    host.surefoot("uninstall shop --purge --yes")?.ok()?;
    host.install(&format!("{INSTALL} --set directory="))?;
    ensure!(host.sh(CURL).is_err());
    let started = host.sh("systemctl show -P InvocationID nginx")?;
    host.install(&format!("{INSTALL} --set directory=https://acme.lab.test:14000/dir"))?;
    assert_eq!(host.sh(CURL)?, "403");
    assert_eq!(host.sh("systemctl show -P InvocationID nginx")?, started);
    Ok(())
}

/// Words of a card, whatever lines they stand on.
fn card(output: &Output) -> String {
    output.stderr.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ")
}

#[test]
fn what_an_authority_says_is_on_the_card() -> Result<()> {
    let pebble = Pebble::boot()?;
    let host = known_to(&pebble, Suite::Bookworm)?;
    let other = Host::builder(Suite::Bookworm).hostname("other").boot()?;
    other.sh("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends nginx >/dev/null")?;
    let install = |code: i32, more: &str, parts: &[&str]| -> Result<()> {
        let output = host.surefoot(&format!("install --yes /root/acme {more}"))?;
        let said = card(&output);
        let missing: Vec<&&str> = parts.iter().filter(|part| !said.contains(**part)).collect();
        ensure!(output.code() == code && missing.is_empty(), "{missing:?} or exit {code}:\n{}", output.stderr);
        Ok(())
    };
    let trusting = "--ca-file /root/acme-ca.pem";
    install(
        10,
        &format!("{trusting} --set terms=false"),
        &["the terms of service of acme.lab.test are not agreed to"],
    )?;
    install(19, "", &["acme.lab.test: its certificate is issued by", "Lab ACME CA", "--ca-file"])?;

    // It goes on for a while with what it found before: started anew, it looks again.
    let lead = |address: &str| pebble.lead("box.lab.test", address).and_then(|()| pebble.start(&[], json!({})));
    lead(&pebble.host().address())?;
    let nothing =
        ["acme.lab.test cannot reach port 80 of box.lab.test", "connection refused", "nothing came in on port 80"];
    install(20, trusting, &nothing)?;
    lead(&other.address())?;
    let stranger =
        ["acme.lab.test finds another host than this one under box.lab.test", "404", "nothing came in on port 80"];
    install(20, trusting, &stranger)?;
    pebble.host().sh("sed -i '/ box.lab.test$/d' /etc/hosts")?;
    pebble.start(&[], json!({}))?;
    install(20, trusting, &["port 80 of box.lab.test", "no such host"])?;

    pebble.lead("box.lab.test", &host.address())?;
    pebble.start(&[], json!({ "domainBlocklist": ["box.lab.test"] }))?;
    install(20, trusting, &["acme.lab.test gives no certificate for such a name", "rejectedIdentifier"])?;
    let keys = json!({ "kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W" });
    pebble.start(&[], json!({ "externalAccountBindingRequired": true, "externalAccountMACKeys": keys }))?;
    install(27, trusting, &["acme.lab.test refuses the account", "externalAccountRequired"])?;
    pebble.stop()?;
    install(20, trusting, &[&format!("{}:14000 cannot be reached: connection refused", pebble::NAME)])?;
    // None of it kept the port.
    assert_eq!(host.sh("ss -Hltn sport = :80")?, "");
    pebble.start(&[], json!({}))?;
    host.surefoot("install --resume --yes")?.ok().context("after all that")?;
    Ok(())
}
