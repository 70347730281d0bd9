//! StackStorm with Mistral, as it was up to 3.2 on Ubuntu 16.04: a stand-in for the package `st2mistral`, the distribution's PostgreSQL, and the servers of
//! another host that such an installation needs.

use super::{PASSWORD, Vendors, data, fresh};
use crate::{host::Host, mongodb, place, repo::Package, repo::Repo, snapshot::Snapshot, suite::Suite, tool};
use anyhow::Result;
use std::{fs, path::Path};

/// The last version with Mistral, as the stand-ins have it.
pub const MISTRAL_VERSION: &str = "3.2.0-1";

/// A unit of Mistral's.
fn unit(name: &str, start: &str) -> String {
    format!(
        "[Unit]\nDescription=Mistral workflow service {name}\nAfter=network.target\n\n[Service]\nType=simple\nUser=mistral\nGroup=mistral\n\
         EnvironmentFile=-/etc/default/mistral\nExecStart=/opt/stackstorm/mistral/bin/{start}\nPrivateTmp=true\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

const WRAPPER: &str = "\
[Unit]
Description=Mistral workflow service invocation wrapper
After=network.target

[Service]
Type=oneshot
EnvironmentFile=-/etc/default/mistral
ExecStartPost=/bin/systemctl start mistral-api
ExecStartPost=/bin/systemctl start mistral-server
ExecStop=/bin/sh -c \"systemctl stop mistral-api; systemctl stop mistral-server;\"
ExecStart=/bin/sh -c true
RemainAfterExit=true

[Install]
WantedBy=multi-user.target
";

const POSTINST: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    getent passwd mistral >/dev/null || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin mistral
    install -d -o mistral -g mistral -m 0755 /var/log/mistral
    for unit in mistral mistral-api mistral-server; do
        deb-systemd-helper unmask \"$unit.service\" >/dev/null || true
        deb-systemd-helper enable \"$unit.service\" >/dev/null || true
    done
    if [ -d /run/systemd/system ]; then systemctl --system daemon-reload; fi
    deb-systemd-invoke start mistral.service >/dev/null || true
fi
";

const PRERM: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ] && [ \"$1\" = remove ]; then deb-systemd-invoke stop mistral.service mistral-api.service mistral-server.service || true; fi
";

const POSTRM: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload || true; fi
if [ \"$1\" = purge ]; then
    deb-systemd-helper purge mistral.service mistral-api.service mistral-server.service >/dev/null || true
    rm -rf /etc/mistral /var/log/mistral
fi
";

/// The package `st2mistral`, with psycopg2 of the distribution where the real one brings its own.
pub(super) fn package(version: &str) -> Result<Package> {
    let (root, config) = ("/opt/stackstorm/mistral", "--config-file /etc/mistral/mistral.conf");
    let mut mistral = Package::new("st2mistral", version)
        .field("Depends", "python3, libpython3-stdlib, python3-psycopg2")
        .file("/etc/mistral/mistral.conf", data("mistral.conf")?, 0o644)
        .file("/etc/logrotate.d/st2mistral", "/var/log/mistral/*.log {\n    daily\n    missingok\n}\n", 0o644)
        .file(&format!("{root}/lib/broker.py"), data("broker.py")?, 0o644)
        .file(&format!("{root}/bin/stand-in"), data("mistral")?, 0o755)
        .script("postinst", POSTINST)
        .script("prerm", PRERM)
        .script("postrm", POSTRM);
    for name in ["mistral-db-manage", "mistral-server", "gunicorn"] {
        let program = format!("#!/bin/sh\nexec {root}/bin/stand-in {name} \"$@\"\n");
        mistral = mistral.file(&format!("{root}/bin/{name}"), program, 0o755);
    }
    let api = "gunicorn --log-file /var/log/mistral/mistral-api.log -b 127.0.0.1:8989 -w 2 mistral.api.wsgi";
    let server = format!(
        "mistral-server --server engine,executor,notifier {config} --log-file /var/log/mistral/mistral-server.log"
    );
    for (name, text) in [
        ("mistral", WRAPPER.to_owned()),
        ("mistral-api", unit("mistral-api", api)),
        ("mistral-server", unit("mistral-server", &server)),
    ] {
        mistral = mistral.file(&format!("/lib/systemd/system/{name}.service"), text, 0o644);
    }
    Ok(mistral)
}

const POSTGRESQL_POSTINST: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    . /usr/share/postgresql-common/maintscripts-functions
    configure_version 9.5 \"$2\"
fi
";

const POSTGRESQL_PRERM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ]; then
    . /usr/share/postgresql-common/maintscripts-functions
    stop_version 9.5
    remove_version 9.5
fi
";

const POSTGRESQL_POSTRM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = purge ]; then
    for folder in /etc/postgresql /var/lib/postgresql; do
        rm -rf $folder/9.5
        rmdir $folder 2>/dev/null || true
    done
    rm -f /var/log/postgresql/postgresql-9.5-*
    rmdir /var/log/postgresql 2>/dev/null || true
fi
";

/// Stand-ins for Ubuntu 16.04's `postgresql-9.5` and `postgresql-client-9.5`: Debian 11's programs, which are 13, where 9.5's are.
fn postgresql() -> Result<[Package; 2]> {
    let debian = place::cached("postgresql-13", |fresh| {
        let host = Host::boot(Suite::Bullseye)?;
        host.sh(
            "apt-get update -q && mkdir /tmp/debian && cd /tmp/debian && apt-get download -q postgresql-13 postgresql-client-13 && \
             dpkg-deb -x postgresql-13_*.deb server && dpkg-deb -x postgresql-client-13_*.deb client && rm -r */usr/share/doc *.deb",
        )?;
        tool::tool("cp", ["-rL".as_ref(), host.disk().join("tmp/debian").as_os_str(), fresh.as_os_str()]).map(drop)
    })?;
    let below = |path: &str| debian.join(path).join("usr");
    let version = "9.5.25-0ubuntu0.16.04.1";
    let programs = |package: Package, from: &Path| {
        package
            .tree("/usr/lib/postgresql/9.5/bin", &from.join("lib/postgresql/13/bin"))?
            .tree("/usr/share/postgresql/9.5/man", &from.join("share/postgresql/13/man"))
    };
    let client = Package::new("postgresql-client-9.5", version)
        .field("Depends", "postgresql-client-common, libpq5, libreadline8, libssl1.1");
    let server = Package::new("postgresql-9.5", version)
        .field(
            "Depends",
            "postgresql-client-9.5, postgresql-common (>= 171), ssl-cert, locales | locales-all, libpq5, libgssapi-krb5-2, \
             libldap-2.4-2, libpam0g, libxml2, libxslt1.1, libssl1.1, libicu67, libllvm11 | libc6, tzdata",
        )
        .script("postinst", POSTGRESQL_POSTINST)
        .script("prerm", POSTGRESQL_PRERM)
        .script("postrm", POSTGRESQL_POSTRM);
    let mut server = programs(server, &below("server"))?
        .tree("/usr/lib/postgresql/9.5/lib", &below("server").join("lib/postgresql/13/lib"))?;
    // Where these programs look for what is theirs.
    for entry in fs::read_dir(below("server").join("share/postgresql/13"))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned()))?;
        let inside = format!("/usr/share/postgresql/13/{name}");
        server = match path.is_dir() {
            _ if name == "man" => server,
            true => server.tree(&inside, &path)?,
            false => server.file(&inside, fs::read(&path)?, 0o644),
        };
    }
    Ok([server, programs(client, &below("client"))?])
}

/// A host with Ubuntu 16.04's own repository, which has PostgreSQL 9.5, and surefoot.
///
/// # Errors
/// When it cannot be made.
pub fn with_mistral() -> Result<Snapshot> {
    fresh(Suite::Xenial)?;
    Snapshot::cached("xenial-postgresql", "4", || {
        let host = fresh(Suite::Xenial)?.host().boot()?;
        let repo = Repo::laid_out("xenial", "main", &postgresql()?)?;
        tool::tool("cp", ["-r".as_ref(), repo.folder().as_os_str(), host.disk().join("srv/ubuntu").as_os_str()])?;
        host.write("/usr/share/keyrings/ubuntu.asc", repo.key(), 0o644)?;
        host.write(
            "/etc/apt/sources.list.d/ubuntu.sources",
            "Types: deb\nURIs: file:///srv/ubuntu\nSuites: xenial\nComponents: main\nSigned-By: /usr/share/keyrings/ubuntu.asc\n",
            0o644,
        )?;
        // Newer than that of the root: what needs Perl would upgrade it.
        host.sh("apt-get update -q && apt-get install -qy perl-base && apt-get clean")?;
        Ok(host)
    })
}

/// Makes MongoDB's users, on its own host.
const USERS: &str = "\
import sys
sys.path.insert(0, '/usr/lib/mongodb-stand-in')
import pymongo
pymongo.MongoClient('127.0.0.1').admin.command('createUser', 'admin', pwd='admin', roles=['userAdminAnyDatabase'])
client = pymongo.MongoClient('127.0.0.1', username='admin', password='admin')
client.st2.command('createUser', 'stackstorm', pwd=open('/root/password').read(), roles=['readWrite'])
";

/// The servers that StackStorm 3.2 has to find: MongoDB, RabbitMQ and, for Mistral, PostgreSQL, all of one host, with the passwords that the
/// answers give.
pub struct Servers {
    /// Their host.
    pub host: Host,
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn start() -> Result<Self> {
        let servers = Snapshot::cached("mistral-servers", "1", || {
            let host = Host::boot(Suite::Bookworm)?;
            let packages = tempfile::tempdir()?;
            let mongodb = mongodb::package(Suite::Bookworm)?.build(packages.path())?;
            host.write("/root/mongodb.deb", fs::read(mongodb)?, 0o600)?;
            host.write("/root/password", PASSWORD, 0o600)?;
            host.write("/root/python", USERS, 0o600)?;
            host.sh(
                "apt-get update -q
                 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends /root/mongodb.deb rabbitmq-server postgresql
                 sed -i 's/bindIp: .*/bindIp: 0.0.0.0/; s/^#security:/security:\\n  authorization: enabled/' /etc/mongod.conf
                 printf \"listen_addresses = '*'\\npassword_encryption = md5\\n\" >/etc/postgresql/15/main/conf.d/lab.conf
                 sed -i '1i host mistral mistral 0.0.0.0/0 md5' /etc/postgresql/15/main/pg_hba.conf
                 systemctl enable mongod rabbitmq-server postgresql && systemctl restart mongod rabbitmq-server postgresql
                 rabbitmqctl -q add_user stackstorm </root/password
                 rabbitmqctl -q set_permissions -p / stackstorm '.*' '.*' '.*'
                 for n in $(seq 50); do python3 /root/python && break; sleep 0.2; done
                 printf 'CREATE ROLE mistral LOGIN PASSWORD $$%s$$;\\nCREATE DATABASE mistral OWNER mistral;\\n' \"$(cat /root/password)\" |
                     runuser -u postgres -- psql -q -v ON_ERROR_STOP=1
                 apt-get clean",
            )?;
            Ok(host)
        })?;
        let host = servers.host().boot()?;
        host.sh(
            "for n in $(seq 300); do
                 test \"$(ss -Hltn | awk '{print $4}' | grep -c -e '0:5432$' -e ':5672$' -e '0:27017$')\" -ge 3 && exit 0
                 sleep 0.1
             done
             exit 1",
        )?;
        Ok(Self { host })
    }

    /// Answers that let the built-in blueprint install StackStorm 3.2 from `vendors`, with Mistral and PostgreSQL of its own host; every secret is
    /// given, so that two hosts can be compared.
    #[must_use]
    pub fn answers(&self, vendors: &Vendors) -> String {
        let at = self.host.address();
        format!(
            "{}version = '3.2'\nmistral = true\nmongodb_server = '{at}:27017'\nrabbitmq_server = '{at}:5672'\nmongodb_password = '''{PASSWORD}'''\n\
             rabbitmq_password = '''{PASSWORD}'''\npostgresql_password = '''{PASSWORD}'''\n\
             datastore_key = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'\ndatastore_hmac_key = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'\n",
            vendors
                .answers()
                .lines()
                .filter(|line| !line.starts_with("mongodb_"))
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        )
    }
}
