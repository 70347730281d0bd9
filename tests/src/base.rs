//! Base root file systems: debootstrapped once, then the lowest layer of every host.

use crate::{lock::Lock, mirror, place, rpm, suite::Suite, tool};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// Part of a base's folder name. A base made by another recipe is never used: raise this when the recipe changes.
const RECIPE: u32 = 2;
/// The same of the stand-in for Enterprise Linux, and of its packages.
const STAND_IN_RECIPE: u32 = 9;
/// The Debian after the newest one.
const NEWER: &str = "forky";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps,strace";
/// Timers that would take apt's locks at a moment of their own choosing.
const MASKED: &[&str] = &["apt-daily.timer", "apt-daily-upgrade.timer"];

/// The layers under a host of this suite, uppermost first. Made on first use.
///
/// # Errors
/// When debootstrap fails; nothing half-made is left under a base's name.
pub fn layers(suite: Suite) -> Result<Vec<PathBuf>> {
    let debian = || made(suite.debian(), RECIPE, |dir| debootstrap(suite.debian(), dir));
    Ok(match suite {
        Suite::Ubuntu | Suite::Focal | Suite::Xenial => {
            vec![made(suite.name(), RECIPE, |dir| dress_as_ubuntu(suite, dir))?, debian()?]
        }
        Suite::El9 => vec![stand_in(&ENTERPRISE_LINUX)?.join(ROOT)],
        Suite::El7 => vec![stand_in(&ENTERPRISE_LINUX_7)?.join(ROOT)],
        Suite::El10 => vec![stand_in(&ENTERPRISE_LINUX_10)?.join(ROOT)],
        Suite::Fedora => vec![stand_in(&FEDORA)?.join(ROOT)],
        Suite::Leap => vec![stand_in(&LEAP)?.join(ROOT)],
        Suite::El8 | Suite::Amazon => {
            vec![
                made(suite.name(), RECIPE, |dir| call_itself(os_release(suite), dir))?,
                stand_in(&ENTERPRISE_LINUX)?.join(ROOT),
            ]
        }
        _ => vec![debian()?],
    })
}

/// A folder that exists only when `make` succeeded on it.
fn made(name: &str, recipe: u32, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let bases = place::dir("bases")?;
    let ready = bases.join(format!("{name}-{recipe}"));
    if ready.exists() {
        return Ok(ready);
    }
    let _lock = Lock::take(&format!("base-{name}"))?;
    if ready.exists() {
        return Ok(ready);
    }
    let unfinished = bases.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    fs::create_dir(&unfinished)?;
    make(&unfinished).with_context(|| format!("cannot make the base {name}"))?;
    fs::rename(&unfinished, &ready)?;
    Ok(ready)
}

fn debootstrap(suite: &str, dir: &Path) -> Result<()> {
    mirror::ensure()?;
    eprintln!("making the {suite} base: about a minute, once");
    let archive = format!("{}/debian", mirror::url());
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={PACKAGES}"), suite]).arg(dir).arg(archive);
    tool::output(&mut command)?;
    settle(suite, dir)
}

/// Everything after debootstrap: apt sources, and nothing that should differ between hosts.
fn settle(suite: &str, dir: &Path) -> Result<()> {
    tool::tool("chroot", [dir.as_os_str(), "apt-get".as_ref(), "clean".as_ref()])?;
    for lists in fs::read_dir(dir.join("var/lib/apt/lists"))? {
        let path = lists?.path();
        if path.is_file() {
            fs::remove_file(path)?;
        }
    }
    fs::write(dir.join("etc/apt/sources.list"), "")?;
    fs::write(dir.join("etc/apt/sources.list.d/debian.sources"), sources(suite))?;
    fs::write(dir.join("etc/machine-id"), "")?;
    fs::write(dir.join("etc/resolv.conf"), "")?;
    // systemd would take the machine id from here: every host gets its own.
    let _ = fs::remove_file(dir.join("var/lib/dbus/machine-id"));
    for unit in MASKED {
        let mask = dir.join("etc/systemd/system").join(unit);
        let _ = fs::remove_file(&mask);
        symlink("/dev/null", mask)?;
    }
    for log in ["var/log/bootstrap.log", "var/log/dpkg.log", "var/log/alternatives.log"] {
        let _ = fs::remove_file(dir.join(log));
    }
    Ok(())
}

/// The archive that the mirror serves may be a frozen copy, so its age is not checked.
fn sources(suite: &str) -> String {
    let mirror = mirror::url();
    let options =
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\nCheck-Valid-Until: no\n";
    format!(
        "Types: deb\nURIs: {mirror}/debian\nSuites: {suite} {suite}-updates\n{options}\n\
         Types: deb\nURIs: {mirror}/debian-security\nSuites: {suite}-security\n{options}"
    )
}

/// How a stand-in with rpm is made.
struct Recipe {
    /// The suite whose Debian it is made of.
    suite: Suite,
    /// What it has of that: libraries of the programs that its packages bring.
    installed: &'static [&'static str],
    /// Its package manager.
    added: &'static [&'static str],
    /// Is that of the Debian after the newest one?
    newer: bool,
    /// Debian packages whose programs are packed once more, as RPM.
    repacked: &'static [&'static str],
    /// What they become: a name, its spec file and macros.
    specs: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Macros of the packages that it finds installed.
    base: &'static [&'static str],
    /// What rpm has to be told besides: that of Debian 12 wants to be asked twice.
    rpm: &'static str,
    os_release: &'static str,
    /// What its family of distributions has.
    own: &'static Own,
}

/// What a family of distributions has that Debian has not.
struct Own {
    /// Raised when this changes and stand-ins of other families need not be made again.
    recipe: u32,
    folders: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    /// A script that is run at the end.
    finish: &'static str,
}

const RED_HAT: &Own = &Own {
    recipe: 0,
    folders: &[
        "etc/yum.repos.d",
        "etc/pki/rpm-gpg",
        "etc/pki/ca-trust/source/anchors",
        "etc/pki/tls/certs",
        "var/cache/dnf",
        "etc/dnf",
    ],
    files: &[
        ("etc/dnf/dnf.conf", include_str!("../data/el9/dnf.conf")),
        ("usr/bin/update-ca-trust", include_str!("../data/el9/update-ca-trust")),
    ],
    finish: "chmod 755 /usr/bin/update-ca-trust; update-ca-trust",
};
/// yum is a stand-in, too, by dnf's library; programs that are newer than there are held to what theirs can.
const RED_HAT_WITH_YUM: &Own = &Own {
    recipe: 2,
    folders: &[
        "etc/yum.repos.d",
        "etc/yum/vars",
        "etc/pki/rpm-gpg",
        "etc/pki/ca-trust/source/anchors",
        "etc/pki/tls/certs",
        "var/cache/yum/x86_64/7",
        "var/lib/yum/repos/x86_64/7",
    ],
    files: &[
        ("etc/yum.conf", include_str!("../data/el7/yum.conf")),
        ("usr/bin/yum", include_str!("../data/el7/yum")),
        ("usr/local/bin/older", include_str!("../data/el7/older")),
        ("usr/bin/update-ca-trust", include_str!("../data/el9/update-ca-trust")),
    ],
    finish: "chmod 755 /usr/bin/yum /usr/local/bin/older /usr/bin/update-ca-trust; update-ca-trust; rm /usr/bin/dnf /usr/bin/dnf-3; \
             for name in tee busctl journalctl systemctl setpriv curl; do ln -s older /usr/local/bin/$name; done",
};
const SUSE: &Own = &Own {
    recipe: 0,
    folders: &[
        "etc/zypp/repos.d",
        "etc/zypp/credentials.d",
        "etc/products.d",
        "etc/pki/trust/anchors",
        "var/lib/ca-certificates",
        "usr/lib/lab",
    ],
    files: &[
        ("etc/zypp/zypp.conf", "[main]\n"),
        ("etc/products.d/Leap.prod", include_str!("../data/leap/product.prod")),
        ("usr/lib/lab/new", include_str!("../data/leap/update-ca-certificates")),
    ],
    finish: "ln -s Leap.prod /etc/products.d/baseproduct; mv /usr/sbin/update-ca-certificates /usr/lib/lab/; \
             mv /usr/lib/lab/new /usr/sbin/update-ca-certificates; chmod 755 /usr/sbin/update-ca-certificates; update-ca-certificates",
};

static ENTERPRISE_LINUX: Recipe = Recipe {
    suite: Suite::El9,
    installed: OLDER_LIBRARIES,
    added: &["dnf", "rpm"],
    newer: false,
    repacked: OLDER_PROGRAMS,
    specs: &[
        ("redis", REDIS, &[]),
        ("redis-el8", REDIS, &["conf /etc/redis.conf"]),
        ("redis6", REDIS, &["server redis6"]),
        ("nginx", NGINX, &[]),
        ("postgresql", POSTGRESQL, &[]),
        ("postgresql15", POSTGRESQL, &["series 15"]),
        ("rabbitmq-server", RABBITMQ, &[]),
    ],
    base: &[],
    rpm: "--force-debian",
    os_release: include_str!("../data/el9/os-release"),
    own: RED_HAT,
};
/// Its packages are those for Enterprise Linux 9.
static ENTERPRISE_LINUX_7: Recipe = Recipe {
    suite: Suite::El7,
    installed: OLDER_LIBRARIES,
    added: &["dnf", "rpm"],
    newer: false,
    repacked: &[],
    specs: &[],
    base: &["dnf yum", "dnf_version 3.4.3"],
    rpm: "--force-debian",
    os_release: include_str!("../../distro/data/os-release/centos-7"),
    own: RED_HAT_WITH_YUM,
};
static ENTERPRISE_LINUX_10: Recipe = Recipe {
    suite: Suite::El10,
    installed: LIBRARIES,
    added: &["dnf", "rpm"],
    newer: false,
    repacked: &["valkey-server", "valkey-tools", "nginx", "nginx-common", "postgresql-17", "postgresql-client-17"],
    specs: &[
        ("el10-valkey", REDIS, &["server valkey", "of valkey"]),
        ("el10-nginx", NGINX, &[]),
        ("el10-postgresql", POSTGRESQL, &["pg 17"]),
    ],
    base: &["dnf_version 4.23.0"],
    rpm: "--nosignature",
    os_release: include_str!("../../distro/data/os-release/almalinux-10"),
    own: RED_HAT,
};
/// Its packages are those for Enterprise Linux 10.
static FEDORA: Recipe = Recipe {
    suite: Suite::Fedora,
    installed: LIBRARIES,
    added: &["dnf5", "rpm"],
    newer: true,
    repacked: &[],
    specs: &[],
    base: &["dnf dnf5", "dnf_version 5.4.6"],
    rpm: "--nosignature",
    os_release: include_str!("../../distro/data/os-release/fedora-43"),
    own: RED_HAT,
};
static LEAP: Recipe = Recipe {
    suite: Suite::Leap,
    installed: OLDER_LIBRARIES,
    added: &["zypper", "rpm"],
    newer: false,
    repacked: OLDER_PROGRAMS,
    specs: &[
        ("leap-redis", include_str!("../data/leap/redis.spec"), &[]),
        ("leap-nginx", include_str!("../data/leap/nginx.spec"), &[]),
        ("leap-postgresql", POSTGRESQL, &["suse 1"]),
        ("leap-rabbitmq", RABBITMQ, &["suse 1"]),
    ],
    base: &["dnf zypper", "dnf_version 1.14.42"],
    rpm: "--force-debian",
    os_release: include_str!("../../distro/data/os-release/opensuse-leap-15"),
    own: SUSE,
};
/// Libraries of the programs of Debian 12 that are packed once more.
const OLDER_LIBRARIES: &[&str] = &[
    "curl",
    "libjemalloc2",
    "liblzf1",
    "libatomic1",
    "liblua5.1-0",
    "lua-cjson",
    "lua-bitop",
    "libhiredis0.14",
    "libpcre2-8-0",
    "libgssapi-krb5-2",
    "libicu72",
    "libldap-2.5-0",
    "libpq5",
    "libreadline8",
    "libxml2",
    "libxslt1.1",
    "libstdc++6",
    "libtinfo6",
    "tzdata",
];
/// Where those programs come from.
const OLDER_PROGRAMS: &[&str] = &[
    "redis-server",
    "redis-tools",
    "nginx",
    "nginx-common",
    "postgresql-15",
    "postgresql-client-15",
    "rabbitmq-server",
    "erlang-asn1",
    "erlang-base",
    "erlang-crypto",
    "erlang-eldap",
    "erlang-ftp",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-snmp",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tftp",
    "erlang-tools",
    "erlang-xmerl",
];
/// Libraries of the programs of Debian 13 that are packed once more.
const LIBRARIES: &[&str] = &[
    "curl",
    "libatomic1",
    "libjemalloc2",
    "liblzf1",
    "libpcre2-8-0",
    "libgssapi-krb5-2",
    "libicu76",
    "libldap2",
    "liblz4-1",
    "libpq5",
    "libreadline8t64",
    "libxml2",
    "libxslt1.1",
    "libstdc++6",
    "libtinfo6",
    "tzdata",
];
const RABBITMQ: &str = include_str!("../data/el9/rabbitmq-server.spec");
const REDIS: &str = include_str!("../data/el9/redis.spec");
const POSTGRESQL: &str = include_str!("../data/el9/postgresql.spec");
const NGINX: &str = include_str!("../data/el9/nginx.spec");

/// Which packages of its stand-in the distribution has itself.
#[must_use]
pub fn own_packages(suite: Suite) -> [&'static str; 3] {
    let (redis, postgresql) = match suite {
        Suite::El8 => ("redis-el8", "postgresql"),
        Suite::Amazon => ("redis6", "postgresql15"),
        Suite::Leap => return ["leap-redis", "leap-nginx", "leap-postgresql"],
        Suite::El10 | Suite::Fedora => return ["el10-valkey", "el10-nginx", "el10-postgresql"],
        _ => ("redis", "postgresql"),
    };
    [redis, "nginx", postgresql]
}

/// Folders of what is made: the root of hosts, and the packages, not signed yet, in a folder for each spec file.
const ROOT: &str = "root";
const RPMS: &str = "packages";

/// The folder of the packages of the spec file `name`.
///
/// # Errors
/// As [`layers`].
pub(crate) fn packages(name: &str) -> Result<PathBuf> {
    let recipe = match name.split_once('-') {
        Some(("el10", _)) => &ENTERPRISE_LINUX_10,
        Some(("leap", _)) => &LEAP,
        _ => &ENTERPRISE_LINUX,
    };
    Ok(stand_in(recipe)?.join(RPMS).join(name))
}

/// A stand-in: a root, and packages for it.
fn stand_in(recipe: &Recipe) -> Result<PathBuf> {
    let debian = recipe.suite.debian();
    let debian = || made(debian, RECIPE, |dir| debootstrap(debian, dir));
    made(recipe.suite.name(), STAND_IN_RECIPE + 100 * recipe.own.recipe, |dir| make_stand_in(recipe, &debian()?, dir))
}

/// A copy of a Debian root with rpm and its package manager in it that calls itself another distribution.
fn make_stand_in(recipe: &Recipe, debian: &Path, whole: &Path) -> Result<()> {
    mirror::ensure()?;
    eprintln!("making the {} base: two minutes, once", recipe.suite);
    let dir = &whole.join(ROOT);
    tool::tool("cp", ["-a".as_ref(), debian.as_os_str(), dir.as_os_str()])?;
    let inside = |words: &[&str]| {
        let mut command = Command::new("chroot");
        tool::output(command.arg(dir).args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    inside(&["apt-get", "update", "-q"])?;
    let install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"];
    inside(&[&install[..], recipe.installed].concat())?;
    if !recipe.repacked.is_empty() {
        inside(&[&["sh", "-c", r#"cd /tmp && apt-get download -q "$@""#, "sh"][..], recipe.repacked].concat())?;
    }
    if recipe.newer {
        let newer = sources(NEWER).replace(&format!(" {NEWER}-updates"), "");
        let newer = newer.split_once("\n\n").map_or(newer.as_str(), |(first, _)| first);
        fs::write(dir.join("etc/apt/sources.list.d/newer.sources"), format!("{newer}\n"))?;
        inside(&["apt-get", "update", "-q"])?;
    }
    inside(&[&install[..], recipe.added].concat())?;
    if recipe.newer {
        fs::remove_file(dir.join("etc/apt/sources.list.d/newer.sources"))?;
        // Of its plugins this one is off where there is nothing for it to do.
        fs::write(dir.join("etc/dnf/libdnf5-plugins/local.conf"), "[main]\nname = local\nenabled = false\n")?;
        symlink("dnf5", dir.join("usr/bin/dnf"))?;
    }
    let programs = tempfile::tempdir_in(whole)?;
    for entry in fs::read_dir(dir.join("tmp"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            tool::tool("dpkg-deb", ["-x".as_ref(), path.as_os_str(), programs.path().as_os_str()])?;
            fs::remove_file(path)?;
        }
    }
    for (name, spec, macros) in recipe.specs {
        let folder = whole.join(RPMS).join(name);
        fs::create_dir_all(&folder)?;
        rpm::build(spec, macros, programs.path(), &folder)?;
    }
    for folder in ["etc/rpm", "etc/sysconfig", "usr/lib/sysimage", "usr/lib/systemd/system-preset"]
        .iter()
        .chain(recipe.own.folders)
    {
        fs::create_dir_all(dir.join(folder))?;
    }
    for (path, content) in [
        ("usr/lib/os-release", recipe.os_release),
        // Debian's rpm keeps its database in the user's home.
        ("etc/rpm/macros", "%_dbpath /var/lib/rpm\n"),
        ("usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n"),
    ]
    .iter()
    .chain(recipe.own.files)
    {
        fs::write(dir.join(path), content)?;
    }
    inside(&["sh", "-e", "-c", recipe.own.finish])?;
    for package in rpm::build(include_str!("../data/el9/base.spec"), recipe.base, programs.path(), &dir.join("tmp"))? {
        let name = package.file_name().context("a package has no name")?.to_string_lossy().into_owned();
        inside(&["rpm", "-i", recipe.rpm, &format!("/tmp/{name}")])?;
        fs::remove_file(package)?;
    }
    settle(recipe.suite.debian(), dir)
}

/// What the stand-ins above that for Enterprise Linux 9 say that they are: the very files that are recognised.
fn os_release(suite: Suite) -> &'static str {
    match suite {
        Suite::El8 => include_str!("../../distro/data/os-release/rocky-8"),
        _ => include_str!("../../distro/data/os-release/amzn-2023"),
    }
}

/// A layer that makes a root call itself by another name.
fn call_itself(os_release: &str, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("usr/lib"))?;
    fs::write(dir.join("usr/lib/os-release"), os_release)?;
    Ok(())
}

/// systemd before 232 gives starts no names.
const OLDER_SYSTEMCTL: &str = r#"#!/bin/sh
for arg do
    shift
    case "$arg" in *InvocationID,*) arg="${arg%%InvocationID,*}${arg#*InvocationID,}" ;; esac
    set -- "$@" "$arg"
done
exec /bin/systemctl "$@"
"#;

/// A layer that makes a Debian root call itself a release of Ubuntu.
fn dress_as_ubuntu(suite: Suite, dir: &Path) -> Result<()> {
    let of_suite = |text: &str| match suite {
        Suite::Xenial => text.replace("22.04.5", "16.04.7").replace("22.04", "16.04").replace("jammy", "xenial"),
        Suite::Focal => text
            .replace("22.04.5", "20.04.6")
            .replace("22.04", "20.04")
            .replace("Jammy Jellyfish", "Focal Fossa")
            .replace("jammy", "focal"),
        _ => text.to_owned(),
    };
    fs::create_dir_all(dir.join("etc"))?;
    if suite == Suite::Xenial {
        call_itself(include_str!("../../distro/data/os-release/ubuntu-16.04"), dir)?;
        let program = dir.join("usr/local/bin/systemctl");
        fs::create_dir_all(dir.join("usr/local/bin"))?;
        fs::write(&program, OLDER_SYSTEMCTL)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    } else {
        call_itself(&of_suite(include_str!("../data/ubuntu-os-release")), dir)?;
    }
    fs::write(dir.join("etc/lsb-release"), of_suite(include_str!("../data/ubuntu-lsb-release")))?;
    Ok(())
}
