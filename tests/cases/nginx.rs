//! Sites of nginx with TLS and a password, beside a user's own.

use anyhow::{Context, Result, ensure};
use lab::{
    Digest, Host, Suite, installed, nginx_org,
    repo::{Repo, Signature},
    rpm::RpmRepo,
    run::ensure_said,
    web::Web,
};
use std::time::{Duration, Instant};

const CERTIFICATE: &str = "/etc/surefoot/site-certificate.crt";

/// A host with the blueprint `site` installed, and curl.
fn with_site(suite: Suite) -> Result<Host> {
    let host = installed(suite, "site")?.host().boot()?;
    host.sh("apt-get install --yes curl")?;
    Ok(host)
}

/// What curl, which trusts the certificate of the site alone, writes out of an answer.
fn curl(host: &Host, args: &str) -> Result<String> {
    host.sh(&format!("curl --silent --show-error --max-time 10 --cacert {CERTIFICATE} {args}"))
}

fn password(host: &Host) -> Result<String> {
    let secrets: serde_json::Value = serde_json::from_str(&host.read("/var/lib/surefoot/site/secrets.json")?)?;
    secrets["values"]["password"].as_str().map(str::to_owned).context("no password")
}

fn serves(suite: Suite) -> Result<()> {
    let host = with_site(suite)?;
    let password = password(&host)?;
    let code = "--output /dev/null --write-out '%{http_code} %{http_version} %{redirect_url}'";
    for (login, wanted) in
        [("", "401 2 "), ("--user admin:wrong", "401 2 "), (format!("--user admin:{password}").as_str(), "403 2 ")]
    {
        // The site's own folder is empty: who is let in may not list it.
        assert_eq!(curl(&host, &format!("{code} {login} https://$(hostname -f)/"))?, wanted.trim_end(), "{login}");
    }
    assert_eq!(curl(&host, &format!("{code} https://localhost/"))?, "401 2");
    assert_eq!(curl(&host, &format!("{code} http://$(hostname -f)/a?b"))?, "308 1.1 https://box.lab.test/a?b");
    if host.exists("/proc/net/if_inet6")? {
        assert_eq!(curl(&host, &format!("{code} https://[::1]/"))?, "401 2");
    }
    let headers = curl(&host, "--head https://localhost/")?;
    for header in ["strict-transport-security: max-age=63072000", "x-content-type-options: nosniff"] {
        ensure!(headers.contains(header), "{header} is missing in:\n{headers}");
    }
    assert_eq!(host.sh("stat -c %a:%U /etc/surefoot/site-certificate.key")?, "600:root");
    assert_eq!(host.sh("ss -ltnH | sed 's/.*:\\([0-9]*\\) .*/\\1/' | sort -u | xargs")?, "443 80");
    // A user of somebody else's stays; ours, taken out by hand, comes back.
    host.sh("sed -i 's/^admin:.*/eve:x/' /etc/surefoot/site-users.htpasswd")?;
    let told = host.install("/root/site")?;
    assert_eq!(told.touched, ["users/htpasswd:/etc/surefoot/site-users.htpasswd"]);
    ensure!(host.read("/etc/surefoot/site-users.htpasswd")?.starts_with("eve:x\nadmin:$2"));
    host.surefoot("uninstall site --yes")?.ok()?;
    assert_eq!(host.sh("ls /etc/surefoot")?, "site-users.htpasswd");
    assert_eq!(host.read("/etc/surefoot/site-users.htpasswd")?, "eve:x\n");
    Ok(())
}

#[test]
fn a_site_asks_for_a_password_over_tls_on_bookworm() -> Result<()> {
    serves(Suite::Bookworm)
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn a_site_asks_for_a_password_over_tls_on_trixie() -> Result<()> {
    serves(Suite::Trixie)
}

#[test]
fn nginx_is_started_once_with_its_final_configuration() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let at = host.install_blueprint("site")?;
    host.install(&at)?;
    assert_eq!(host.sh("journalctl -u nginx -o cat | grep -c ^Started")?, "1");
    assert_eq!(host.sh("journalctl -u nginx -o cat | grep -c -i ^Reload || true")?, "0");
    Ok(())
}

/// Runs a program in Perl until it listens.
fn run_server(host: &Host, path: &str, port: u16) -> Result<()> {
    let listens = format!("until ss -ltn | grep -q :{port}; do sleep 0.1; done");
    host.sh(&format!("systemd-run --unit test-{port} perl {path} && timeout 20 sh -c '{listens}'")).map(drop)
}

/// Answers every request with what it was; below /events/ it sends one event, and nothing more.
const UPSTREAM: &str = r#"use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1:9101', Listen => 9, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    next if fork;
    my $request = '';
    while (my $line = <$client>) { last if $line eq "\r\n"; $request .= $line; }
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    if ($request =~ m(^GET /events/)) { print $client "data: 1\n\n"; $client->flush; sleep 60; }
    print $client $request;
    exit;
}
"#;

#[test]
fn parts_of_a_site_come_from_another_server() -> Result<()> {
    let host = with_site(Suite::Bookworm)?;
    host.write("/root/upstream.pl", UPSTREAM, 0o644)?;
    run_server(&host, "/root/upstream.pl", 9101)?;
    let said = curl(&host, &format!("--user admin:{} https://localhost/api/a/b?c", password(&host)?))?;
    for line in ["GET /a/b?c HTTP/1.1", "Host: localhost", "X-Forwarded-User: admin", "X-Forwarded-Proto: https"] {
        ensure!(said.lines().any(|one| one.trim_end() == line), "{line} is missing in:\n{said}");
    }
    ensure!(!said.contains("Authorization"), "the password of the site was handed on:\n{said}");
    // An event is there at once, although the server says nothing more; and no password is asked for.
    let event =
        host.exec(["sh", "-c", "curl -k -s -N --max-time 3 -H 'X-Forwarded-User: root' https://localhost/events/x"])?;
    assert_eq!((event.code(), event.stdout.as_str()), (28, "data: 1\n\n"));
    Ok(())
}

/// An authority, and a certificate for the host by it, with keys: `ca.crt`, `own.crt`, `own.key`.
const OWN: &str = "mkdir /root/pki && cd /root/pki && \
    openssl req -x509 -newkey rsa:2048 -noenc -days 9 -subj /CN=authority -keyout ca.key -out ca.crt && \
    openssl req -newkey rsa:2048 -noenc -subj /CN=own -keyout own.key -out own.csr && \
    printf 'subjectAltName=DNS:box.lab.test,DNS:localhost' >san && \
    openssl x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -extfile san -out own.crt && \
    openssl genpkey -algorithm rsa -out other.key";

#[test]
fn a_users_own_certificate_is_checked_served_and_never_touched() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let at = host.install_blueprint("site")?;
    host.sh("apt-get update && apt-get install --yes openssl curl")?;
    host.sh(OWN)?;
    let before = Digest::of(&host)?;
    let install = |key: &str, site: &str| {
        host.surefoot(&format!(
            "install --yes {at} --set certificate=/root/pki/own.crt --set key=/root/pki/{key} --set site={site}"
        ))
    };
    for (key, site, wanted) in [
        ("other.key", "box.lab.test", "the key is not that of the certificate"),
        ("own.key", "other.example", "the certificate is not valid for 'other.example'"),
    ] {
        let said = install(key, site)?.code_is(19)?.stderr;
        ensure!(said.replace('\n', " ").contains(wanted), "{wanted} is missing in:\n{said}");
    }
    let differences = Digest::diff(&before, &Digest::of(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));

    install("own.key", "box.lab.test")?.ok()?;
    let files = "cd /root/pki && sha256sum own.*  && stat -c '%n %a %Y %Z' own.*";
    let as_given = host.sh(files)?;
    let served =
        "curl --silent --cacert /root/pki/ca.crt --output /dev/null --write-out '%{http_code}' https://localhost/";
    assert_eq!(host.sh(served)?, "401");
    // Somebody's own tool renews it: the next run lets nginx take it up.
    host.sh(
        "cd /root/pki && openssl x509 -req -in own.csr -CA ca.crt -CAkey ca.key -days 8 -extfile san -out own.crt",
    )?;
    let renewed = host.sh(files)?;
    ensure!(renewed != as_given);
    let told = host.install(&at)?;
    assert_eq!((told.changed, told.restarted), (1, 0), "{told:?}");
    let shown = "openssl s_client -connect localhost:443 </dev/null 2>/dev/null | openssl x509 -fingerprint -noout";
    assert_eq!(host.sh(shown)?, host.sh("openssl x509 -fingerprint -noout -in /root/pki/own.crt")?);
    host.surefoot("uninstall site --purge --yes")?.ok()?;
    assert_eq!(host.sh(files)?, renewed);
    Ok(())
}

/// A user's nginx: a site with TLS on the same ports, one in nginx.conf, a default site of his own, and a setting.
const WIKI: &str = "server { listen 80; listen 443 ssl; server_name wiki.example; \
    ssl_certificate /etc/ssl/certs/ssl-cert-snakeoil.pem; ssl_certificate_key /etc/ssl/private/ssl-cert-snakeoil.key; \
    location / { return 200 wiki; } }\n";

#[test]
fn a_users_sites_are_named_and_go_on() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let at = host.install_blueprint("site")?;
    host.sh("apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes nginx ssl-cert curl")?;
    // A default site of the package's that is served on other ports than ours makes no way, also while nginx is stopped.
    let elsewhere = format!("{at} --set port=8443 --set http_port=8080");
    let has_welcome = |host: &Host| anyhow::Ok(host.sh("curl -s http://localhost/")?.contains("Welcome to nginx"));
    host.install(&elsewhere)?;
    ensure!(has_welcome(&host)?);
    host.sh("systemctl stop nginx")?;
    assert_eq!(host.install(&elsewhere)?.touched, ["site/service:nginx.service"]);
    ensure!(has_welcome(&host)?);
    host.surefoot("uninstall site --purge --yes")?.ok()?;

    host.write("/etc/nginx/sites-enabled/wiki", WIKI, 0o644)?;
    // One that nginx does not read.
    host.write("/etc/nginx/conf.d/box.conf.disabled", "server { listen 443; server_name box.lab.test; }\n", 0o644)?;
    host.write("/etc/nginx/sites-available/default", "server { listen 80 default_server; return 200 mine; }\n", 0o644)?;
    host.sh(
        "sed -i 's/worker_connections.*/worker_connections 77;/' /etc/nginx/nginx.conf && systemctl restart nginx",
    )?;
    let before = Digest::of(&host)?;

    let said = host.surefoot(&format!("install --yes {at} --set site=wiki.example"))?.code_is(31)?.stderr;
    ensure!(said.contains("/etc/nginx/sites-enabled/wiki: server_name wiki.example"), "{said}");
    let differences = Digest::diff(&before, &Digest::of(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));

    // nginx would go on with its old configuration after a reload, and be gone after a boot.
    host.write("/etc/nginx/conf.d/single.conf", "server { listen 10.0.0.5:443; server_name single; }\n", 0o644)?;
    host.write("/etc/nginx/conf.d/both.conf", "server { listen [::]:8443 ipv6only=off; server_name both; }\n", 0o644)?;
    for (port, said) in [("8443", "listen [::]:8443 ipv6only=off"), ("443", "listen 10.0.0.5:443")] {
        let site = format!("install --yes {at} --set site=box.lab.test --set port={port}");
        host.sh("sed -i 's/listen 443/listen 444/' /etc/nginx/sites-enabled/wiki")?;
        let told = host.surefoot(&site)?.code_is(31)?.stderr;
        ensure!(told.contains(said), "{said} is missing in:\n{told}");
        host.sh("sed -i 's/listen 444/listen 443/' /etc/nginx/sites-enabled/wiki")?;
    }
    host.sh("rm /etc/nginx/conf.d/single.conf /etc/nginx/conf.d/both.conf")?;

    let plan = host.surefoot(&format!("plan {at} --set site=box.lab.test"))?.ok()?.stdout;
    ensure!(plan.contains("site-site.conf  create, 0644 root:root, beside wiki\n"), "{plan}");
    host.install(&format!("{at} --set site=box.lab.test"))?;
    let answers = "for url in http://localhost/ https://localhost/ http://wiki.example/ https://wiki.example/ \
                   https://box.lab.test/; do curl -sk --resolve '*:80:127.0.0.1' --resolve '*:443:127.0.0.1' \
                   --output - --write-out ' %{http_code},' $url | tail -c 10; done";
    // Who asks for no site of ours gets what was there before.
    let said = host.sh(answers)?;
    ensure!(said.starts_with("mine 200,wiki 200,wiki 200,wiki 200,") && said.ends_with(" 401,"), "{said}");
    // A page with nginx's state, as agents of monitoring ask for it, in a file that another one includes.
    host.write("/etc/nginx/state", "server { listen 127.0.0.1:80; location / { stub_status; } }\n", 0o644)?;
    host.write("/etc/nginx/conf.d/state.conf", "include /etc/nginx/state;\n", 0o644)?;
    host.sh("systemctl reload nginx")?;
    // An address has no name to be asked by, and the wiki answers where no name fits.
    host.install(&format!("{at} --set site=192.0.2.10"))?;
    ensure!(host.sh("curl -s http://127.0.0.1/")?.starts_with("Active connections"));
    host.sh("rm /etc/nginx/state /etc/nginx/conf.d/state.conf && systemctl reload nginx")?;
    // A name that nginx has no room for in its table of names, which it makes as soon as there are two sites.
    let long = format!("{}.Lab.test", "a".repeat(60));
    // Written as an expression, it comes after wildcards.
    host.write(
        "/etc/nginx/sites-enabled/any",
        "server { listen 80; server_name *.lab.test; return 200 any; }\n",
        0o644,
    )?;
    let said = host.surefoot(&format!("install --yes {at} --set site={long}"))?.code_is(31)?.stderr;
    ensure!(said.contains("/etc/nginx/sites-enabled/any: server_name *.lab.test"), "{said}");
    host.sh("rm /etc/nginx/sites-enabled/any")?;
    host.install(&format!("{at} --set site={long}"))?;
    let said = host.sh(&answers.replace("box.lab.test", &long))?;
    ensure!(said.starts_with("mine 200,wiki 200,wiki 200,wiki 200,") && said.ends_with(" 401,"), "{said}");
    host.surefoot("uninstall site --yes")?.ok()?;
    let differences = Digest::diff(&before, &Digest::of(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(host.sh("curl -s http://localhost/")?, "mine");
    Ok(())
}

/// Where sites are is what nginx.conf says, not the name of the distribution.
#[test]
fn nginx_of_nginx_org_has_its_sites_in_one_folder() -> Result<()> {
    let (host, web) = (Host::boot(Suite::Bookworm)?, Web::start()?);
    let repo = Repo::new(&[nginx_org::package(&host)?])?;
    web.serve("/nginx", repo.folder());
    host.write("/etc/apt/keyrings/nginx.asc", repo.key(), 0o644)?;
    let source = format!("deb [signed-by=/etc/apt/keyrings/nginx.asc] {}/nginx stable main\n", web.url());
    host.write("/etc/apt/sources.list.d/nginx.list", source, 0o644)?;
    host.sh("apt-get update")?;
    host.install_binary()?;
    let site = host.install_blueprint("site")?;
    host.install(&site)?;

    assert_eq!(host.sh("ls /etc/nginx/conf.d")?, "zz-site-site.conf");
    ensure!(!host.exists("/etc/nginx/sites-available")?);
    assert_eq!(host.sh("stat -c %a:%G /etc/surefoot/site-users.htpasswd")?, "640:nginx");
    let again = host.install(&site)?;
    assert_eq!((again.changed, again.restarted), (0, 0), "{again:?}");
    host.surefoot("uninstall --yes")?.ok()?;
    assert_eq!(host.sh("ls /etc/nginx/conf.d; dpkg --verify nginx")?, "default.conf");
    Ok(())
}

/// Enterprise Linux has a server in nginx.conf, behind the line that reads all sites: who puts a site of their own there has it answer whatever is asked.
#[test]
fn a_server_in_nginx_conf_goes_on_to_answer_where_no_name_fits() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["nginx"], Signature::Right, Signature::Right)?);
    web.serve("/own", repo.folder());
    let host = Host::boot(Suite::El9)?;
    host.install_binary()?;
    host.write("/etc/pki/own", repo.key(), 0o644)?;
    let definition = format!("[own]\nname=own\nbaseurl={}/own\ngpgcheck=1\ngpgkey=file:///etc/pki/own\n", web.url());
    host.write("/etc/yum.repos.d/own.repo", definition, 0o644)?;
    host.sh("rpm --import /etc/pki/own; dnf -q -y install nginx; mkdir /srv/w; echo mine >/srv/w/index.html; \
         sed -i 's,root .*;,root /srv/w;,' /etc/nginx/nginx.conf; systemctl enable --now nginx")?;
    let before = host.read("/etc/nginx/nginx.conf")?;
    let site = host.install_blueprint("site")?;
    host.install(&site)?;
    assert_eq!(host.sh("curl -s http://127.0.0.1/")?, "mine");
    let again = host.install(&site)?;
    assert_eq!((again.changed, again.restarted), (0, 0), "{again:?}");
    host.surefoot("uninstall --yes")?.ok()?;
    assert_eq!(host.read("/etc/nginx/nginx.conf")?, before);
    assert_eq!(host.sh("curl -s http://127.0.0.1/")?, "mine");
    Ok(())
}

#[test]
fn what_nginx_refuses_is_told_in_its_own_words_and_taken_back() -> Result<()> {
    let host = installed(Suite::Bookworm, "site")?.host().boot()?;
    let site = "/etc/nginx/sites-available/site-site.conf";
    let before = host.read(site)?;
    let started = host.sh("systemctl show -p InvocationID nginx")?;
    host.write("/etc/nginx/conf.d/broken.conf", "no_such_directive on;\n", 0o644)?;
    let said = host.surefoot("install --yes /root/site --set port=8443")?.code_is(26)?.stderr;
    for part in ["unknown directive \"no_such_directive\"", "/etc/nginx/conf.d/broken.conf:1"] {
        ensure!(said.contains(part), "{part} is missing in:\n{said}");
    }
    assert_eq!(host.read(site)?, before, "the refused configuration is still there");
    assert_eq!(host.sh("systemctl show -p InvocationID nginx")?, started);
    host.sh("rm /etc/nginx/conf.d/broken.conf")?;
    // Somebody listens where the site is to be.
    host.write(
        "/root/listen.pl",
        "use IO::Socket::INET; my $it = IO::Socket::INET->new(LocalPort => 8443, Listen => 1) or die; sleep",
        0o644,
    )?;
    run_server(&host, "/root/listen.pl", 8443)?;
    let output = host.surefoot("install --resume --yes")?;
    ensure!(!output.success() && output.stderr.contains("8443") && output.stderr.contains("perl"), "{}", output.stderr);
    host.sh("systemctl stop test-8443")?;
    host.surefoot("install --resume --yes")?.ok()?;
    ensure!(host.sh("ss -ltn")?.contains(":8443"));
    // Workers that die at once leave a main process that never answers.
    host.sh("systemctl stop nginx && sed -i.old 's/worker_connections .*/worker_connections 4000000000;/' /etc/nginx/nginx.conf")?;
    let started = Instant::now();
    let output = host.surefoot("install --yes --resume")?.code_is(24)?;
    ensure_said(&output, "Cannot allocate memory")?;
    ensure!(started.elapsed() < Duration::from_secs(30), "it was waited for {:?}", started.elapsed());
    host.sh("mv /etc/nginx/nginx.conf.old /etc/nginx/nginx.conf")?;
    host.surefoot("install --resume --yes")?.ok()?;
    Ok(())
}

/// What testssl.sh finds of the certificate because nobody else signed it.
const OF_OUR_OWN: [&str; 2] = ["cert_chain_of_trust", "cert_revocation"];

#[test]
fn testssl_finds_nothing_of_medium_severity_besides_who_signed_it() -> Result<()> {
    let host = installed(Suite::Bookworm, "site")?.host().boot()?;
    host.sh("apt-get install --yes testssl.sh procps")?;
    let output = host
        .run(["testssl", "--quiet", "--color", "0", "--nodns", "none", "--jsonfile", "/root/found.json", "localhost"])
        .patience(Duration::from_secs(900))
        .output()?;
    let found: Vec<serde_json::Value> = serde_json::from_str(&host.read("/root/found.json")?)?;
    let of = |id: &str| found.iter().find(|one| one["id"] == id).with_context(|| format!("no {id}: {output:?}"));
    // It looked at everything.
    for (id, finding) in
        [("TLS1_3", "offered with final"), ("TLS1_1", "not offered"), ("HSTS_time", "730 days"), ("BREACH", "")]
    {
        ensure!(of(id)?["finding"].as_str().is_some_and(|text| text.starts_with(finding)), "{}", of(id)?);
    }
    let serious = |one: &&serde_json::Value| {
        ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].iter().any(|word| one["severity"] == *word)
            && !OF_OUR_OWN.iter().any(|id| one["id"] == *id)
    };
    let serious: Vec<String> = found.iter().filter(serious).map(serde_json::Value::to_string).collect();
    ensure!(serious.is_empty(), "{}", serious.join("\n"));
    Ok(())
}
