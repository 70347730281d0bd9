//! What the kernel and a few files say of the machine, as functions of the folder that they are in.

use std::path::Path;

use super::{Family, Init, PackageManager, read};
use crate::os::Base;

/// Which program starts services.
pub(super) fn init(root: &Path) -> Init {
    // Made by systemd early at boot, and by nothing else: sd_booted(3).
    if root.join("run/systemd/system").is_dir() {
        Init::Systemd
    } else if root.join("run/openrc").is_dir() {
        Init::OpenRc
    } else {
        Init::Scripts
    }
}

/// The package manager of the family, where its program is there. Other families' programs can be installed too (dnf on Debian),
/// so that alone does not count.
pub(super) fn package_manager(root: &Path, family: Family, base: &Base) -> Option<PackageManager> {
    let candidates: &[(&str, PackageManager)] = match family {
        Family::Debian => &[("apt-get", PackageManager::Apt)],
        Family::RedHat => &[("dnf", PackageManager::Dnf)],
        Family::Suse => &[("zypper", PackageManager::Zypper)],
        Family::Alpine => &[("apk", PackageManager::Apk)],
        Family::Arch => &[("pacman", PackageManager::Pacman)],
        Family::Unknown => &[],
    };
    let there =
        |program: &str| crate::command::PATH.split(':').any(|folder| root.join(&folder[1..]).join(program).is_file());
    // Where dnf took its place, it is another name of dnf, or a script of somebody's; before that, dnf can be had besides, and is not what the
    // distribution works with.
    let is_yum_itself = root.join("usr/bin/yum").symlink_metadata().is_ok_and(|meta| meta.is_file());
    let major = base.version.split('.').next().unwrap_or_default();
    let is_before_dnf = matches!((base.id.as_str(), major), ("rhel", "7") | ("amzn", "2"));
    if family == Family::RedHat && is_yum_itself && (is_before_dnf || !there("dnf")) {
        return Some(PackageManager::Yum);
    }
    candidates.iter().find(|(program, _)| there(program)).map(|(_, manager)| *manager)
}

/// The kind of container that this is, by the names that systemd-detect-virt(1) uses.
pub(super) fn container(root: &Path, kernel: &str) -> Option<String> {
    let there = |path: &str| root.join(path).exists();
    // Kernels of WSL carry `-microsoft-standard` or `-Microsoft` in their release.
    if kernel.to_ascii_lowercase().contains("microsoft") {
        return Some("wsl".into());
    }
    // OpenVZ has /proc/vz on hosts too, /proc/bc on hosts only.
    if there("proc/vz") && !there("proc/bc") {
        return Some("openvz".into());
    }
    // The first is written by systemd inside, the second by the manager outside; the third can be read by root only.
    let environ = std::fs::read(root.join("proc/1/environ")).unwrap_or_default();
    let told = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| Some(String::from_utf8_lossy(entry.strip_prefix(b"container=")?).into_owned()));
    [read(root, "run/systemd/container"), read(root, "run/host/container-manager"), told.unwrap_or_default()]
        .into_iter()
        .find(|name| !name.is_empty())
        .or_else(|| there(".dockerenv").then(|| "docker".into()))
        .or_else(|| there("run/.containerenv").then(|| "podman".into()))
}

/// What a vendor or product writes into the machine's firmware, and what kind of virtual machine that is. Order counts: some
/// clouds run on a hypervisor that is named too.
const FIRMWARE: [(&str, &str); 15] = [
    ("Amazon EC2", "amazon"),
    ("Google Compute Engine", "google"),
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
];

/// The kind of virtual machine that this is; `other` where only the processor says that there is a hypervisor.
pub(super) fn vm(root: &Path) -> Option<String> {
    let firmware: String = ["sys_vendor", "product_name", "product_version", "bios_vendor", "board_vendor"]
        .map(|name| read(root, &format!("sys/class/dmi/id/{name}")))
        .join("\n");
    if let Some((_, kind)) = FIRMWARE.iter().find(|(words, _)| firmware.contains(words)) {
        return Some((*kind).into());
    }
    if firmware.contains("Microsoft Corporation") && firmware.contains("Virtual Machine") {
        return Some("microsoft".into());
    }
    // The first domain of Xen is the machine itself.
    let first_domain = read(root, "proc/xen/capabilities").contains("control_d");
    let hypervisor = read(root, "sys/hypervisor/type");
    if !hypervisor.is_empty() && !first_domain {
        return Some(hypervisor);
    }
    let virtual_processor = first_flags(root).split_whitespace().any(|flag| flag == "hypervisor");
    (virtual_processor && !first_domain).then(|| "other".into())
}

/// Does the first processor say that it has AVX?
pub(super) fn has_avx(root: &Path) -> bool {
    first_flags(root).split_whitespace().any(|flag| flag == "avx")
}

/// The flags of the first processor. Only the start of the file is read: making all of it takes the kernel long where there are
/// many processors.
fn first_flags(root: &Path) -> String {
    use std::io::Read;
    let mut start = Vec::new();
    if let Ok(file) = std::fs::File::open(root.join("proc/cpuinfo")) {
        // What cannot be read is not known.
        file.take(8192).read_to_end(&mut start).ok();
    }
    let text = String::from_utf8_lossy(&start).into_owned();
    text.lines().find(|line| line.starts_with("flags")).unwrap_or_default().to_owned()
}

/// `enforcing` or `permissive` where SELinux is on, `disabled` where it is configured and off.
pub(super) fn selinux(root: &Path) -> Option<String> {
    let state = match read(root, "sys/fs/selinux/enforce").as_str() {
        "1" => "enforcing",
        "0" => "permissive",
        _ if root.join("etc/selinux/config").exists() => "disabled",
        _ => return None,
    };
    Some(state.into())
}

/// Bytes of memory: what the kernel has, or the limit of the container's cgroup. Limits of deeper groups, such as a login
/// session's, do not hold for services.
pub(super) fn memory(root: &Path) -> u64 {
    let total = read(root, "proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes << 10);
    // Version 2 says `max` where there is no limit; version 1 a number larger than any memory.
    ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| read(root, path).parse::<u64>().ok())
        .fold(total, u64::min)
}

/// Host name without and with domain, from the kernel's name and /etc/hosts.
pub(super) fn names(node: &str, hosts: &str) -> (String, String) {
    let node = node.trim_end_matches('.');
    let short = node.split('.').next().unwrap_or_default();
    if short != node {
        return (short.into(), node.into());
    }
    let with_domain =
        |name: &&str| name.strip_prefix(short).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'));
    let fqdn = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter_map(|line| {
            let names: Vec<&str> = line.split_whitespace().skip(1).collect();
            names.contains(&short).then_some(names)
        })
        .find_map(|names| names.into_iter().find(with_domain))
        .unwrap_or(short);
    (short.into(), fqdn.trim_end_matches('.').into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files in it; a name that ends in `/` is a folder.
    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            if path.to_string_lossy().ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
        root
    }

    #[test]
    fn what_starts_services() {
        for (path, wanted) in
            [("run/systemd/system/", Init::Systemd), ("run/openrc/", Init::OpenRc), ("run/systemd/", Init::Scripts)]
        {
            assert_eq!(init(host(&[(path, "")]).path()), wanted, "{path}");
        }
    }

    #[test]
    fn the_package_manager_of_the_family() {
        let root = host(&[("usr/bin/dnf", ""), ("bin/apt-get", "")]);
        std::os::unix::fs::symlink("dnf", root.path().join("usr/bin/yum")).unwrap();
        for (family, wanted) in [
            (Family::Debian, Some(PackageManager::Apt)),
            (Family::RedHat, Some(PackageManager::Dnf)),
            (Family::Suse, None),
            (Family::Unknown, None),
        ] {
            assert_eq!(package_manager(root.path(), family, &Base::default()), wanted, "{family:?}");
        }
        let both = host(&[("usr/bin/yum", ""), ("usr/bin/dnf", "")]);
        for (id, version, wanted) in [
            ("rhel", "7.9", PackageManager::Yum),
            ("amzn", "2", PackageManager::Yum),
            ("rhel", "9.4", PackageManager::Dnf),
            ("amzn", "2023", PackageManager::Dnf),
        ] {
            let base = Base { id: id.into(), version: version.into(), ..Base::default() };
            assert_eq!(package_manager(both.path(), Family::RedHat, &base), Some(wanted), "{id} {version}");
        }
        let alone = host(&[("usr/bin/yum", "")]);
        assert_eq!(package_manager(alone.path(), Family::RedHat, &Base::default()), Some(PackageManager::Yum));
    }

    #[test]
    fn kinds_of_containers() {
        for (files, kernel, wanted) in [
            (&[][..], "6.1.0-18-amd64", None),
            (&[("run/systemd/container", "systemd-nspawn\n"), (".dockerenv", "")], "6.1", Some("systemd-nspawn")),
            (&[("run/host/container-manager", "systemd-nspawn")], "6.1", Some("systemd-nspawn")),
            (&[("proc/1/environ", "PATH=/bin\0container=lxc\0TERM=x\0")], "6.1", Some("lxc")),
            (&[("proc/1/environ", "notcontainer=lxc\0")], "6.1", None),
            (&[(".dockerenv", "")], "6.1", Some("docker")),
            (&[("run/.containerenv", "")], "6.1", Some("podman")),
            (&[("proc/vz/", "")], "3.10", Some("openvz")),
            (&[("proc/vz/", ""), ("proc/bc/", "")], "3.10", None),
            (&[], "5.15.90.1-microsoft-standard-WSL2", Some("wsl")),
        ] {
            assert_eq!(container(host(files).path(), kernel).as_deref(), wanted, "{files:?}");
        }
    }

    #[test]
    fn kinds_of_virtual_machines() {
        let dmi = "sys/class/dmi/id/";
        for (files, wanted) in [
            (&[][..], None),
            (&[("sys_vendor", "Dell Inc."), ("product_name", "PowerEdge R640")], None),
            (&[("sys_vendor", "QEMU"), ("product_name", "Standard PC (Q35 + ICH9, 2009)")], Some("qemu")),
            (&[("sys_vendor", "Red Hat"), ("product_name", "KVM")], Some("kvm")),
            (&[("sys_vendor", "Amazon EC2"), ("product_name", "t3.micro")], Some("amazon")),
            (&[("sys_vendor", "Google"), ("product_name", "Google Compute Engine")], Some("google")),
            (&[("sys_vendor", "VMware, Inc."), ("product_name", "VMware Virtual Platform")], Some("vmware")),
            (&[("sys_vendor", "innotek GmbH"), ("product_name", "VirtualBox")], Some("oracle")),
            (&[("sys_vendor", "Microsoft Corporation"), ("product_name", "Virtual Machine")], Some("microsoft")),
            (&[("sys_vendor", "Microsoft Corporation"), ("product_name", "Surface Pro")], None),
        ] {
            let files: Vec<_> = files.iter().map(|(name, text)| (format!("{dmi}{name}"), *text)).collect();
            let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
            assert_eq!(vm(host(&files).path()).as_deref(), wanted, "{files:?}");
        }
        let flags = ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n");
        assert_eq!(vm(host(&[flags]).path()).as_deref(), Some("other"));
        assert_eq!(vm(host(&[("sys/hypervisor/type", "xen\n")]).path()).as_deref(), Some("xen"));
        let first = ("proc/xen/capabilities", "control_d\n");
        assert_eq!(vm(host(&[("sys/hypervisor/type", "xen\n"), first, flags]).path()), None);
    }

    #[test]
    fn processors_with_avx() {
        for (flags, wanted) in [("fpu avx avx2", true), ("fpu avx2 xavx", false), ("", false)] {
            let info = format!("processor\t: 0\nflags\t\t: {flags}\n");
            assert_eq!(has_avx(host(&[("proc/cpuinfo", &info)]).path()), wanted, "{flags}");
        }
    }

    #[test]
    fn states_of_selinux() {
        for (files, wanted) in [
            (&[][..], None),
            (&[("sys/fs/selinux/enforce", "1"), ("etc/selinux/config", "")], Some("enforcing")),
            (&[("sys/fs/selinux/enforce", "0")], Some("permissive")),
            (&[("etc/selinux/config", "SELINUX=disabled\n")], Some("disabled")),
        ] {
            assert_eq!(selinux(host(files).path()).as_deref(), wanted, "{files:?}");
        }
    }

    #[test]
    fn memory_is_the_least_of_machine_and_container() {
        let machine = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree:          1 kB\n");
        for (files, wanted) in [
            (&[][..], 0),
            (&[machine], 2 << 20),
            (&[machine, ("sys/fs/cgroup/memory.max", "max\n")], 2 << 20),
            (&[machine, ("sys/fs/cgroup/memory.max", "1048576\n")], 1 << 20),
            (&[machine, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], 2 << 20),
            (&[machine, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n")], 1 << 20),
        ] {
            assert_eq!(memory(host(files).path()), wanted, "{files:?}");
        }
    }

    #[test]
    fn names_with_and_without_domain() {
        for (node, hosts, short, fqdn) in [
            ("box", "", "box", "box"),
            ("box.corp.test", "", "box", "box.corp.test"),
            ("box", "127.0.0.1 localhost\n127.0.1.1\tbox.corp.test box\n", "box", "box.corp.test"),
            ("box", "10.0.0.5 box box.corp.test # here\n", "box", "box.corp.test"),
            ("box", "10.0.0.5 other.corp.test other\n#10.0.0.6 box.x box\n", "box", "box"),
            ("box", "10.0.0.5 boxer.corp.test box\n", "box", "box"),
            ("box", "127.0.1.1 box\n10.0.0.5 box.corp.test box\n", "box", "box.corp.test"),
        ] {
            assert_eq!(names(node, hosts), (short.into(), fqdn.into()), "{node} {hosts}");
        }
    }
}
