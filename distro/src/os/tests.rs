use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::Facts;
use crate::facts::PackageManager;

fn data(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/os-release").join(folder)
}

/// Lines of the table `expected` of `folder`; each file there has to have one.
fn table(folder: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(data(folder).join("expected")).unwrap();
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|word| if word == "-" { "" } else { word }.to_owned()).collect())
        .collect();
    let files: BTreeSet<String> = std::fs::read_dir(data(folder))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file() && entry.file_name() != "expected")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), files);
    rows
}

fn manager(family: Family) -> Option<PackageManager> {
    Some(match family {
        Family::Debian => PackageManager::Apt,
        Family::RedHat => PackageManager::Dnf,
        Family::Suse => PackageManager::Zypper,
        Family::Alpine => PackageManager::Apk,
        Family::Arch => PackageManager::Pacman,
        Family::Unknown => return None,
    })
}

fn facts(os: &Os) -> Facts {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("os-release"), "ID=any\n").unwrap();
    let any = Facts::gather(root.path()).unwrap();
    Facts { package_manager: manager(os.family), ..any.with_os(os.clone()) }
}

#[test]
fn each_distribution_is_what_the_table_says() {
    for row in table("") {
        let [file, wanted @ ..] = row.as_slice() else { panic!("{row:?}") };
        let os = parse(file, &std::fs::read(data(file)).unwrap(), "").unwrap();
        let family = serde_json::to_value(os.family).unwrap();
        let supported = supported(&facts(&os)).is_ok();
        let found = [
            os.id,
            os.version,
            os.major.map_or(String::new(), |major| major.to_string()),
            os.codename,
            family.as_str().unwrap().to_owned(),
            os.base.id,
            os.base.version,
            os.base.codename,
            if supported { "yes" } else { "no" }.to_owned(),
        ];
        assert_eq!(found, wanted, "{file}");
        assert!(!os.name.is_empty() && !os.name.contains('"'), "{file}: {}", os.name);
    }
}

#[test]
fn each_malformed_file_is_told_by_its_line() {
    for row in table("malformed") {
        let [file, number, words @ ..] = row.as_slice() else { panic!("{row:?}") };
        let error = parse("/etc/os-release", &std::fs::read(data("malformed").join(file)).unwrap(), "").unwrap_err();
        let fault = Fault::find(&error).unwrap();
        let start = if number == "0" { "/etc/os-release ".into() } else { format!("/etc/os-release line {number} '") };
        assert_eq!(fault.class, Class::Host, "{file}");
        assert!(fault.message.starts_with(&start), "{file}: {}", fault.message);
        assert!(fault.message.ends_with(&words.join(" ")), "{file}: {}", fault.message);
        assert!(!fault.message.chars().any(char::is_control), "{file}: {}", fault.message);
        assert!(!fault.advice.is_empty(), "{file}");
    }
}

#[test]
fn a_message_quotes_the_line() {
    let error = parse("/etc/os-release", b"NAME=x\nID=\"debian\n", "").unwrap_err();
    assert_eq!(error.to_string(), "/etc/os-release line 2 'ID=\"debian': its quote is not closed");
}

#[test]
fn too_large_is_not_parsed() {
    let mut bytes = b"ID=debian\n".to_vec();
    bytes.resize(65 << 10, b'#');
    assert_eq!(parse("f", &bytes, "").unwrap_err().to_string(), "f is larger than 64 KiB: not an os-release file");
}

#[test]
fn where_it_is_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let error = read(root.path()).unwrap_err();
    assert_eq!(Fault::class_of(&error), Class::Host);
    assert!(error.to_string().contains("no os-release file"), "{error}");

    write("etc/redhat-release", "CentOS release 6.10 (Final)\n");
    let os = read(root.path()).unwrap();
    assert_eq!((os.id.as_str(), os.major, os.base.id.as_str()), ("centos", Some(6), "rhel"));
    let error = supported(&facts(&os)).unwrap_err();
    assert!(error.to_string().contains("Upstart"), "{error}");

    write("usr/lib/os-release", "ID=two\n");
    assert_eq!(read(root.path()).unwrap().id, "two");
    std::os::unix::fs::symlink("nowhere", root.path().join("etc/os-release")).unwrap();
    assert_eq!(read(root.path()).unwrap().id, "two");
    std::fs::remove_file(root.path().join("etc/os-release")).unwrap();
    write("etc/os-release", "ID=one\n");
    assert_eq!(read(root.path()).unwrap().id, "one");
    std::fs::remove_file(root.path().join("etc/os-release")).unwrap();
    std::fs::create_dir(root.path().join("etc/os-release")).unwrap();
    assert!(read(root.path()).unwrap_err().to_string().ends_with("etc/os-release is not a file"));
}

#[test]
fn debian_version_tells_where_codenames_do_not() {
    let file = b"ID=homebrew\nID_LIKE=debian\nVERSION_ID=3\n";
    for (told, version, codename) in
        [("12.5\n", "12", "bookworm"), ("trixie/sid\n", "13", "trixie"), ("kali-rolling\n", "", ""), ("", "", "")]
    {
        let base = parse("f", file, told).unwrap().base;
        assert_eq!((base.version.as_str(), base.codename.as_str()), (version, codename), "{told}");
    }
    let sid = parse("f", b"ID=debian\nPRETTY_NAME=\"Debian GNU/Linux bookworm/sid\"\n", "bookworm/sid\n").unwrap();
    assert_eq!(sid.base.version, "12");
    let later = parse("f", b"ID=debian\nVERSION_CODENAME=zurg\n", "zurg/sid\n").unwrap();
    assert_eq!(later.base.codename, "zurg");
    assert!(supported(&facts(&later)).is_ok());
}

#[test]
fn a_derivative_that_counts_in_its_own_way_is_no_old_enterprise_linux() {
    for (id, version, wanted) in [
        ("alinux", "3", "which Enterprise Linux it is derived from is not told by its version 3"),
        ("rhcos", "4.15", "is not told by its version 4.15"),
        ("centos", "6", "Enterprise Linux 6 starts services with Upstart"),
    ] {
        let text = format!("ID={id}\nID_LIKE=\"rhel fedora\"\nVERSION_ID={version}\n");
        let error = supported(&facts(&parse("os-release", text.as_bytes(), "").unwrap())).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_refusal_says_why_and_what_is_supported() {
    for (file, why) in [
        ("ubuntu-14.04", "Upstart"),
        ("ubuntu-18.04", "support of Ubuntu 18.04 has ended"),
        ("debian-10", "Debian 10 gets no updates"),
        ("ol-6", "Upstart"),
        ("amzn-2018.03", "Amazon Linux 1"),
        ("fedora-40", "Fedora 40 gets no updates"),
        ("sles-12", "sles 12.5 gets no updates"),
        ("opensuse-tumbleweed", "'opensuse-tumbleweed' is not a distribution that surefoot was tried on"),
        ("alpine-3.20", "apk"),
        ("arch", "pacman"),
        ("nixos-24.05", "'nixos' is not a distribution that surefoot knows"),
        ("derivative-of-unknown", "does not tell from which version"),
    ] {
        let os = parse(file, &std::fs::read(data(file)).unwrap(), "").unwrap();
        let error = supported(&facts(&os)).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Unsupported);
        assert!(fault.message.contains(&os.name) && fault.message.contains(why), "{file}: {}", fault.message);
        let list = "Debian 11 or later, Ubuntu 16.04 and 20.04 or later, Enterprise Linux 7 to 10, Amazon Linux 2 and 2023, Fedora 41 or later, \
                    SUSE Linux Enterprise Server 15, openSUSE Leap 15";
        assert!(fault.advice.contains(list), "{}", fault.advice);
    }
    let os = parse("f", b"ID=rhel\nVERSION_ID=11.0\n", "").unwrap();
    assert!(supported(&facts(&os)).unwrap_err().to_string().contains("newer than all that surefoot was tried on"));
    let os = parse("f", b"ID=debian\nVERSION_ID=12\n", "").unwrap();
    let without_apt = Facts { package_manager: None, ..facts(&os) };
    assert!(supported(&without_apt).unwrap_err().to_string().ends_with("it has no apt-get"));
    let image = Facts { image: true, ..facts(&os) };
    assert!(supported(&image).unwrap_err().to_string().contains("runs from an image (ostree)"));
    for (os_release, missing) in
        [("ID=centos\nVERSION_ID=7\n", "yum"), ("ID=amzn\nVERSION_ID=2\n", "yum"), ("ID=ol\nVERSION_ID=8.9\n", "dnf")]
    {
        let os = parse("f", os_release.as_bytes(), "").unwrap();
        let error = supported(&Facts { package_manager: None, ..facts(&os) }).unwrap_err();
        assert!(error.to_string().ends_with(&format!("it has no {missing}")), "{error}");
    }
}
