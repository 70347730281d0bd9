//! Stand-ins for StackStorm's packages, which no reachable repository has: their files, paths, accounts, units and commands, and one
//! program behind all of them that logs in where st2.conf says. What they show is said of the stand-ins, never of StackStorm.

mod enterprise_linux;
mod killed;
mod mistral;

use crate::{host::Host, place, snapshot, snapshot::Snapshot, tool::tool};
use crate::{mongodb, nginx_org, repo::Package, repo::Repo, run::Output, suite::Suite, web::Web};
use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

pub use enterprise_linux::{RpmVendors, upgrades_survive};
pub use killed::{SECRETS, first_install_survives, killed_and_resumed};
pub use mistral::{MISTRAL_VERSION, Servers, with_mistral};

/// What the stand-ins say they are.
pub const VERSION: &str = "3.9.0-1";

/// Programs whose units have the account that they run as.
const SERVICES: [&str; 10] = [
    "st2api",
    "st2auth",
    "st2garbagecollector",
    "st2notifier",
    "st2rulesengine",
    "st2scheduler",
    "st2sensorcontainer",
    "st2stream",
    "st2timersengine",
    "st2workflowengine",
];

/// Of versions that have Mistral; the last of the units.
const RESULTS: &str = "st2resultstracker";

/// Is it a version with Mistral?
fn has_mistral(version: &str) -> bool {
    version.starts_with("3.2.") || version.starts_with("3.1.")
}

fn data(name: &str) -> Result<String> {
    Ok(fs::read_to_string(format!("{}/data/stackstorm/{name}", env!("CARGO_MANIFEST_DIR")))?)
}

/// The unit of a service; those of the web run in gunicorn, at a port that stands in the unit.
fn unit(name: &str) -> String {
    let port = match name {
        "st2auth" => Some(9100),
        "st2api" => Some(9101),
        "st2stream" => Some(9102),
        _ => None,
    };
    let (program, arguments) = match port {
        Some(port) => {
            (format!("gunicorn {name}.wsgi:application"), format!("-k eventlet -b 127.0.0.1:{port} --workers 1"))
        }
        None => (name.to_owned(), "--config-file /etc/st2/st2.conf".to_owned()),
    };
    format!(
        "[Unit]\nDescription=StackStorm service {name}\nAfter=network.target\n\n[Service]\nType=simple\nUser=st2\nGroup=st2\n\
         Environment=\"DAEMON_ARGS={arguments}\"\nEnvironmentFile=-/etc/default/{name}\n\
         ExecStart=/opt/stackstorm/st2/bin/{program} $DAEMON_ARGS\nTimeoutSec=60\nPrivateTmp=true\nRestart=on-failure\nRestartSec=5\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

const RUNNER: &str = "\
[Unit]
Description=StackStorm service st2actionrunner
After=network.target

[Service]
Type=oneshot
EnvironmentFile=-/etc/default/st2actionrunner
ExecStart=/bin/bash /opt/stackstorm/st2/bin/runners.sh start
ExecStop=/bin/bash /opt/stackstorm/st2/bin/runners.sh stop
RemainAfterExit=true

[Install]
WantedBy=multi-user.target
";

const WORKER: &str = "\
[Unit]
Description=StackStorm service st2actionrunner, worker %I
PartOf=st2actionrunner.service

[Service]
Type=simple
User=root
Group=st2packs
EnvironmentFile=-/etc/default/st2actionrunner
ExecStart=/opt/stackstorm/st2/bin/st2actionrunner --config-file /etc/st2/st2.conf
TimeoutSec=60
PrivateTmp=true
Restart=on-failure
RestartSec=5
";

const CHATOPS: &str = "\
[Unit]
Description=StackStorm service st2chatops
After=network.target

[Service]
Type=simple
User=st2
Group=st2
EnvironmentFile=-/etc/default/st2chatops
WorkingDirectory=/opt/stackstorm/chatops
ExecStart=/opt/stackstorm/chatops/bin/hubot
TimeoutSec=60
PrivateTmp=true
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
";

/// The packages `st2`, `st2web` and `st2chatops`, and `st2mistral` of versions that have it.
///
/// # Errors
/// When PyPI does not give their parts.
pub fn packages(suite: Suite, version: &str) -> Result<Vec<Package>> {
    let bin = "/opt/stackstorm/st2/bin";
    let results: &[&str] = if has_mistral(version) { &[RESULTS] } else { &[] };
    let script = |name: &str| {
        let text = data(name)?;
        let last = "st2workflowengine";
        Ok::<_, anyhow::Error>(match results.is_empty() {
            true => text,
            false => text
                .replace(&format!("{last};"), &format!("{last} {RESULTS};"))
                .replace(&format!("{last}.service"), &format!("{last}.service {RESULTS}.service")),
        })
    };
    let mut st2 = Package::new("st2", version)
        .field(
            "Depends",
            "python3, libpython3-stdlib, openssh-server, openssh-client, bash, netbase, sudo, adduser, ldap-utils",
        )
        .file("/etc/st2/st2.conf", data("st2.conf")?, 0o644)
        .file("/etc/st2/htpasswd", "", 0o600)
        .file(
            "/etc/logrotate.d/st2",
            "/var/log/st2/*.log {\n    daily\n    rotate 5\n    missingok\n    copytruncate\n}\n",
            0o644,
        )
        .file("/opt/stackstorm/st2/lib/broker.py", data("broker.py")?, 0o644)
        .file("/opt/stackstorm/st2/VERSION", version.split('-').next().unwrap_or(version), 0o644)
        .file(&format!("{bin}/stand-in"), data("stand-in")?, 0o755)
        .file(&format!("{bin}/runners.sh"), data("runners.sh")?, 0o755)
        .file(&format!("{bin}/st2ctl"), data("st2ctl")?, 0o755)
        .file("/usr/bin/st2ctl", data("st2ctl")?, 0o755)
        .file("/lib/systemd/system/st2actionrunner.service", RUNNER, 0o644)
        .file("/lib/systemd/system/st2actionrunner@.service", WORKER, 0o644)
        .script("postinst", &script("postinst")?)
        .script("prerm", &script("prerm")?)
        .script("postrm", &script("postrm")?);
    for name in SERVICES.iter().chain(results).copied() {
        st2 = st2.file(&format!("/lib/systemd/system/{name}.service"), unit(name), 0o644).file(
            &format!("/etc/st2/logging.{}.conf", name.trim_start_matches("st2")),
            format!("# {version}\n[loggers]\nkeys=root\n"),
            0o644,
        );
    }
    let programs = [
        "st2actionrunner",
        "st2-register-content",
        "st2-apply-rbac-definitions",
        "st2-drop-st2exporter-marker-collections",
        "gunicorn",
    ];
    for name in SERVICES.into_iter().chain(results.iter().copied()).chain(programs) {
        let program = format!("#!/bin/sh\nexec {bin}/stand-in {name} \"$@\"\n");
        st2 = st2.file(&format!("{bin}/{name}"), &program, 0o755);
        if name.starts_with("st2-") {
            st2 = st2.file(&format!("/usr/bin/{name}"), &program, 0o755);
        }
    }
    for action in ["local", "remote", "noop", "http", "announcement"] {
        let text = format!("---\nname: {action}\npack: core\nenabled: true\n");
        st2 = st2.file(&format!("/opt/stackstorm/packs/core/actions/{action}.yaml"), text, 0o664);
    }
    let parts = mongodb::parts(suite)?;
    for part in ["bson", "pymongo", "gridfs", "dns"] {
        st2 = st2.tree(&format!("/opt/stackstorm/st2/lib/{part}"), &parts.join(part))?;
    }
    st2 = st2.tree("/opt/stackstorm/st2/lib/kazoo", &kazoo()?.join("kazoo"))?;
    let web = Package::new("st2web", version)
        .file("/opt/stackstorm/static/webui/index.html", "<!doctype html><title>StackStorm</title>\n", 0o644)
        .file(
            "/opt/stackstorm/static/webui/config.js",
            "'use strict';\nangular.module('main').constant('st2Config', {});\n",
            0o644,
        );
    let chatops = Package::new("st2chatops", version)
        .field("Depends", "nodejs (>= 20.0.0), python3")
        .conffile("/opt/stackstorm/chatops/st2chatops.env", data("st2chatops.env")?, 0o644)
        .file(
            "/opt/stackstorm/chatops/bin/hubot",
            "#!/bin/sh\n. /opt/stackstorm/chatops/st2chatops.env\nexec /opt/stackstorm/chatops/bin/stand-in\n",
            0o755,
        )
        .file("/opt/stackstorm/chatops/bin/stand-in", data("hubot")?, 0o755)
        .file("/lib/systemd/system/st2chatops.service", CHATOPS, 0o644)
        .script("postinst", "#!/bin/sh\nset -e\ndeb-systemd-helper enable st2chatops.service >/dev/null || true\n\
             if [ -d /run/systemd/system ]; then systemctl --system daemon-reload; fi\n")
        .script("prerm", "#!/bin/sh\nif [ -d /run/systemd/system ]; then systemctl stop st2chatops.service; fi\n")
        .script("postrm", "#!/bin/sh\nif [ \"$1\" = purge ]; then deb-systemd-helper purge st2chatops.service >/dev/null || true; fi\n\
             if [ -d /run/systemd/system ]; then systemctl --system daemon-reload; fi\n");
    let mistral = if has_mistral(version) { Some(mistral::package(version)?) } else { None };
    Ok([st2, web, chatops].into_iter().chain(mistral).collect())
}

/// A folder with the client of ZooKeeper that is in StackStorm's package, fetched once.
fn kazoo() -> Result<PathBuf> {
    place::cached("kazoo", |fresh| {
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"];
        tool("python3", pip.into_iter().chain([fresh.display().to_string().as_str(), "kazoo==2.10.0"])).map(drop)
    })
}

/// A server that answers for the vendors, with their repositories laid out as theirs.
#[derive(Debug)]
pub struct Vendors {
    /// The server.
    pub web: Web,
    stackstorm: Repo,
    mongodb: Repo,
    node: Repo,
    /// What the server reads the keys from.
    _keys: tempfile::TempDir,
}

impl Vendors {
    /// The names of the vendors' servers that the built-in blueprint knows.
    pub const NAMES: [&str; 4] = ["packagecloud.io", "repo.mongodb.org", "pgp.mongodb.com", "deb.nodesource.com"];

    /// Starts it, with the newest version only.
    ///
    /// # Errors
    /// When a package cannot be made.
    pub fn start(suite: Suite) -> Result<Self> {
        Self::with(suite, VERSION)
    }

    /// Offers another version besides.
    ///
    /// # Errors
    /// When a package cannot be made.
    pub fn add(&self, suite: Suite, version: &str) -> Result<()> {
        self.stackstorm.add(&packages(suite, version)?)
    }

    /// Starts it, with `version` of StackStorm only.
    ///
    /// # Errors
    /// When a package cannot be made.
    pub fn with(suite: Suite, version: &str) -> Result<Self> {
        let (web, keys) = (Web::start()?, tempfile::tempdir()?);
        let stackstorm = Repo::laid_out(suite.codename(), "main", &packages(suite, version)?)?;
        // Of the oldest system's nobody asks for it.
        let mongodb = mongodb::repository(if suite == Suite::Xenial { Suite::Ubuntu } else { suite })?;
        let node = Package::new("nodejs", "20.19.0-1nodesource1").file("/usr/bin/node", "#!/bin/sh\nexit 1\n", 0o755);
        let node = Repo::laid_out("nodistro", "main", &[node])?;
        fs::write(keys.path().join("gpgkey"), stackstorm.key())?;
        fs::write(keys.path().join("server-7.0.asc"), mongodb.key())?;
        fs::write(keys.path().join("nodesource-repo.gpg.key"), node.key())?;
        web.serve("/StackStorm/stable/ubuntu", stackstorm.folder());
        web.serve("/StackStorm/stable", keys.path());
        web.serve("/apt/ubuntu", mongodb.folder());
        web.serve("", keys.path());
        web.serve("/static/pgp", keys.path());
        web.serve("/gpgkey", keys.path());
        web.serve("/node_20.x", node.folder());
        Ok(Self { web, stackstorm, mongodb, node, _keys: keys })
    }

    /// Answers that let the built-in blueprint install from it; every secret is given, so that two hosts can be compared.
    #[must_use]
    pub fn answers(&self) -> String {
        let url = self.web.url();
        format!(
            "st2_repository = '{url}/StackStorm/stable'\nst2_fingerprint = '{}'\nmongodb_repository = '{url}/apt/ubuntu'\n\
             mongodb_key = '{url}/static/pgp/server-7.0.asc'\nmongodb_fingerprint = '{}'\nnode_repository = '{url}/node_20.x'\n\
             node_key = '{url}/static/pgp/nodesource-repo.gpg.key'\nnode_fingerprint = '{}'\nworkers = '2'\npassword = '''{PASSWORD}'''\n",
            self.stackstorm.fingerprint(),
            self.mongodb.fingerprint(),
            self.node.fingerprint()
        )
    }

    /// A mirrors file that leaves the vendors' addresses as they are, and has the stand-ins' keys in place of theirs.
    #[must_use]
    pub fn keys(&self) -> String {
        let mirror = |url: &str, key: &str, repo: &Repo| {
            format!(
                "[[mirror]]\nof = '{url}'\nurl = '{url}'\nkey = '{key}'\nfingerprints = ['{}']\n",
                repo.fingerprint()
            )
        };
        let (stackstorm, node) = ("https://packagecloud.io/StackStorm/stable", "https://deb.nodesource.com");
        mirror(&format!("{stackstorm}/ubuntu"), &format!("{stackstorm}/gpgkey"), &self.stackstorm)
            + &mirror("https://repo.mongodb.org/apt/ubuntu", "https://pgp.mongodb.com/server-7.0.asc", &self.mongodb)
            + &mirror(&format!("{node}/node_20.x"), &format!("{node}/gpgkey/nodesource-repo.gpg.key"), &self.node)
    }

    /// A host that a stand-in for the official script has installed StackStorm on, or begun to: until the step of that name. The one who
    /// takes over gives no password. With the repository of nginx.org, which is to be kept.
    ///
    /// # Errors
    /// When it fails.
    pub fn official(&self, until: &str) -> Result<(Host, Repo)> {
        let host = fresh(Suite::Ubuntu)?.host().boot()?;
        host.install_binary()?;
        let nginx = Repo::laid_out(Suite::Ubuntu.codename(), "nginx", &[nginx_org::package(&host)?])?;
        fs::write(nginx.folder().join("nginx_signing.key"), nginx.key())?;
        self.web.serve("/packages/ubuntu", nginx.folder());
        self.web.serve("/keys", nginx.folder());
        host.write("/root/official", data("official")?, 0o700)?;
        host.run(["/root/official", &self.web.url(), until]).output()?.ok()?;
        let answers = self.answers();
        let answers: Vec<&str> = answers.lines().filter(|line| !line.starts_with("password")).collect();
        host.write("/root/answers.toml", answers.join("\n"), 0o600)?;
        Ok((host, nginx))
    }

    /// Installs the built-in blueprint on a host, with these arguments besides, as the user `jo` would by sudo.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn install(&self, host: &Host, more: &[&str]) -> Result<Output> {
        host.write("/root/answers.toml", self.answers(), 0o600)?;
        let args = ["surefoot", "install", "stackstorm", "--yes", "--answers", "/root/answers.toml"];
        host.run(args.into_iter().chain(more.iter().copied())).env("SUDO_USER", "jo").output()
    }
}

/// The password of `st2admin` in tests: what shells, URLs and INI files take for their own.
pub const PASSWORD: &str = "It's 100% \"s$cr#t\" / \\x";

/// Python on the host, with a function that asks the site as a browser would that trusts its certificate: `ask(path, method, headers, body)`
/// gives status and body; and `login(user, password)`.
///
/// # Errors
/// When it fails; with what it said.
pub fn python(host: &Host, code: &str) -> Result<String> {
    let ask = "import base64, json, os, ssl, urllib.request, urllib.error\n\
               certificate, named = '/etc/surefoot/stackstorm-certificate.crt', True\n\
               if not os.path.exists(certificate): certificate, named = '/etc/ssl/st2/st2.crt', False\n\
               def ask(path, method='GET', headers={}, body=None):\n\
               \x20   context = ssl.create_default_context(cafile=certificate)\n\
               \x20   context.check_hostname = named\n\
               \x20   data = None if body is None else json.dumps(body).encode()\n\
               \x20   request = urllib.request.Request('https://box.lab.test' + path, data, headers, method=method)\n\
               \x20   try:\n\
               \x20       answer = urllib.request.urlopen(request, context=context, timeout=20)\n\
               \x20       return answer.status, answer.read().decode()\n\
               \x20   except urllib.error.HTTPError as error:\n\
               \x20       return error.code, error.read().decode()\n\
               def login(user, password):\n\
               \x20   basic = base64.b64encode(f'{user}:{password}'.encode()).decode()\n\
               \x20   return ask('/auth/v1/tokens', 'POST', {'Authorization': 'Basic ' + basic})\n";
    Ok(host.run(["python3", "-"]).stdin(format!("{ask}{code}\n")).output()?.ok()?.stdout.trim_end().to_owned())
}

/// Code that logs the first user in, and has `run(action, parameters)`, which gives an execution's end.
#[must_use]
pub fn session(password: &str) -> String {
    format!(
        "status, text = login('st2admin', {})\nassert status == 201, text\ntoken = {{'X-Auth-Token': json.loads(text)['token'], 'Content-Type': 'application/json'}}\n\
         def run(action, **parameters):\n\
         \x20   status, text = ask('/api/v1/executions', 'POST', token, {{'action': action, 'parameters': parameters}})\n\
         \x20   assert status == 201, text\n\
         \x20   while True:\n\
         \x20       one = json.loads(ask('/api/v1/executions/' + json.loads(text)['id'], headers=token)[1])\n\
         \x20       if one['status'] in ('succeeded', 'failed'): return one\n",
        serde_json::Value::from(password)
    )
}

/// A fresh host with what each of Ubuntu's servers has.
///
/// # Errors
/// When it cannot be made.
pub fn fresh(suite: Suite) -> Result<Snapshot> {
    Snapshot::cached(&format!("{suite}-server"), "3", || {
        let host = Host::boot(suite)?;
        // Its own is newer than any that the stand-in for MongoDB is built for.
        let python = if suite == Suite::Fedora { "python3.13" } else { "" };
        host.sh(&format!(
            "apt-get update -q && apt-get install -qy --no-install-recommends sudo openssh-server {python} && apt-get clean && \
             useradd --create-home --shell /bin/bash jo"
        ))?;
        Ok(host)
    })
}

/// A host with the built-in blueprint installed, everything on it.
///
/// # Errors
/// When it cannot be installed.
pub fn installed() -> Result<Snapshot> {
    let mut key = snapshot::key_of(&crate::place::surefoot()?)?;
    for name in
        ["stand-in", "st2.conf", "runners.sh", "st2ctl", "postinst", "prerm", "postrm", "hubot", "st2chatops.env"]
    {
        key.push_str(&data(name)?);
    }
    Snapshot::cached("stackstorm", &key, || {
        let vendors = Vendors::start(Suite::Ubuntu)?;
        let host = fresh(Suite::Ubuntu)?.host().boot()?;
        host.install_binary()?;
        vendors.install(&host, &[])?.ok()?;
        Ok(host)
    })
}

/// A directory on the host itself, by LDAP on 389, with StartTLS too, and by LDAPS on 636: `jo` is a member of the group `operators`, `eve` of
/// none; both have the password `PASSWORD`. Its certificate signs itself, and is for the host's own name too, which OpenLDAP's client puts in place of `localhost`.
///
/// # Errors
/// When it does not come up.
pub fn directory(host: &Host) -> Result<()> {
    host.write(
        "/root/seed",
        "slapd slapd/password1 password admin\nslapd slapd/password2 password admin\nslapd slapd/domain string corp.test\n",
        0o600,
    )?;
    let person = |name: &str| {
        format!(
            "dn: uid={name},ou=people,dc=corp,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             userPassword: {PASSWORD}\n\n"
        )
    };
    let entries = format!(
        "dn: ou=people,dc=corp,dc=test\nobjectClass: organizationalUnit\nou: people\n\n{}{}\
         dn: cn=operators,dc=corp,dc=test\nobjectClass: groupOfNames\ncn: operators\nmember: uid=jo,ou=people,dc=corp,dc=test\n",
        person("jo"),
        person("eve")
    );
    host.write("/root/entries", entries, 0o600)?;
    let tls = "dn: cn=config\nchangetype: modify\nreplace: olcTLSCertificateFile\nolcTLSCertificateFile: /etc/ldap/ca.pem\n-\n\
               replace: olcTLSCertificateKeyFile\nolcTLSCertificateKeyFile: /etc/ldap/key.pem\n";
    host.write("/root/tls", tls, 0o600)?;
    host.sh(
        "debconf-set-selections /root/seed && apt-get update -q && \
         DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends slapd ldap-utils && \
         ldapadd -x -H ldap://127.0.0.1 -D cn=admin,dc=corp,dc=test -w admin -f /root/entries && \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost,DNS:$(hostname -f) -keyout /etc/ldap/key.pem -out /etc/ldap/ca.pem && \
         chown openldap /etc/ldap/key.pem && ldapmodify -Q -Y EXTERNAL -H ldapi:/// -f /root/tls && \
         sed -i 's|^SLAPD_SERVICES=.*|SLAPD_SERVICES=\"ldap:/// ldaps:/// ldapi:///\"|' /etc/default/slapd && \
         systemctl restart slapd && rm /root/seed /root/entries /root/tls",
    )
    .map(drop)
}

/// Puts StackStorm's own command-line client, from PyPI, into a host.
///
/// # Errors
/// When PyPI does not give it.
pub fn client(host: &Host) -> Result<()> {
    let archive = place::cached("st2client.tar", |fresh| {
        let folder = tempfile::tempdir()?;
        let [wheels, target] = ["wheels", "target"].map(|name| folder.path().join(name).display().to_string());
        // The only part that has no wheel of its own.
        tool("python3", ["-m", "pip", "wheel", "--quiet", "--no-deps", "-w", &wheels, "jsonpath-rw==1.4.0"])?;
        let pip =
            ["-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:", "--python-version", "3.11"];
        let what = ["--find-links", &wheels, "--target", &target, "st2client==3.9.0"];
        tool("python3", pip.into_iter().chain(what)).context("st2client cannot be had")?;
        tool("tar", ["-C", &target, "-cf", &fresh.display().to_string(), "."]).map(drop)
    })?;
    host.write("/root/st2client.tar", fs::read(&archive)?, 0o600)?;
    host.write(
        "/usr/local/bin/st2",
        "#!/bin/sh\nPYTHONPATH=/opt/st2client exec python3 -m st2client.shell \"$@\"\n",
        0o755,
    )?;
    host.sh("mkdir /opt/st2client && tar -C /opt/st2client -xf /root/st2client.tar").map(drop)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// What the tables of docs/stackstorm.md call a test is one.
    #[test]
    fn tests_that_the_documentation_names_exist() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cases =
            fs::read_dir(here.join("cases")).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let cases: String = cases.collect();
        let documentation = fs::read_to_string(here.join("../docs/stackstorm.md")).unwrap();
        // Line by line: a pattern may have a backquote in it.
        let words = documentation.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let is_test =
            |word: &&str| word.matches('_').count() >= 4 && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let named: Vec<&str> = words.filter(is_test).collect();
        let missing: Vec<&&str> = named.iter().filter(|name| !cases.contains(&format!("fn {name}("))).collect();
        assert!(named.len() > 10 && missing.is_empty(), "{} named, not there: {missing:?}", named.len());
    }
}
