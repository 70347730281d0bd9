use std::fs;

use super::*;

/// Facts of a host with this os-release and this nginx.conf.
fn host(os_release: &str, nginx: &str) -> Facts {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/nginx")).unwrap();
    fs::write(root.path().join("etc/os-release"), os_release).unwrap();
    if !nginx.is_empty() {
        fs::write(root.path().join(NGINX_CONF.trim_start_matches('/')), nginx).unwrap();
    }
    Facts::gather(root.path()).unwrap()
}

const DEBIAN: &str = "ID=debian\nVERSION_ID=12\n";
const ROCKY: &str = "ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=9.4\n";

#[test]
fn nginx_says_itself_where_its_sites_are() {
    let (both, folder) = (
        "user www-data;\nhttp { include /etc/nginx/conf.d/*.conf; include /etc/nginx/sites-enabled/*; }",
        "user nginx;\nhttp { include /etc/nginx/conf.d/*.conf; }",
    );
    for (system, nginx, linked, group) in [
        (DEBIAN, "", true, "www-data"),
        (DEBIAN, both, true, "www-data"),
        (DEBIAN, folder, false, "nginx"),
        (ROCKY, "", false, "nginx"),
        (ROCKY, folder, false, "nginx"),
        (ROCKY, both, true, "www-data"),
    ] {
        let facts = host(system, nginx);
        let layout = Nginx::of(&facts).unwrap().unwrap();
        assert_eq!(matches!(layout.sites, Sites::Linked { .. }), linked, "{system}{nginx}");
        assert_eq!(web_group(&facts), group, "{system}{nginx}");
    }
    let error = Nginx::of(&host(DEBIAN, "http { server { listen 80; } }")).unwrap_err();
    assert!(error.to_string().starts_with("nginx reads sites from nowhere: /etc/nginx/nginx.conf includes neither"));
    assert!(Nginx::of(&host("ID=alpine\n", "")).unwrap().is_none());
}

#[test]
fn versions_of_debian_and_of_ubuntu() {
    for (os_release, later) in [
        (DEBIAN, false),
        ("ID=debian\nVERSION_ID=13\n", true),
        ("ID=ubuntu\nVERSION_ID=24.04\n", false),
        ("ID=ubuntu\nVERSION_ID=25.10\n", true),
        ("ID=amzn\nID_LIKE=fedora\nVERSION_ID=2023\n", false),
    ] {
        assert_eq!(since(&host(os_release, ""), 13, 25), later, "{os_release}");
    }
}

#[test]
fn mongodb_keeps_its_data_where_its_vendor_says() {
    let data = |os_release: &str| Mongodb::of(&host(os_release, "")).map(|layout| layout.data);
    assert_eq!(data(DEBIAN), Some("/var/lib/mongodb"));
    assert_eq!(data(ROCKY), Some("/var/lib/mongo"));
    assert_eq!(data("ID=alpine\n"), None);
}
