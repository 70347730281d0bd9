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
    // Only Debian's own brings the folder of sites.
    for (system, nginx, brings) in [(DEBIAN, both, true), (DEBIAN, folder, false), (ROCKY, both, false)] {
        assert_eq!(Nginx::of(&host(system, nginx)).unwrap().unwrap().brings_roots, brings, "{system}{nginx}");
    }
    let error = Nginx::of(&host(DEBIAN, "http { server { listen 80; } }")).unwrap_err();
    assert!(error.to_string().starts_with("nginx reads sites from nowhere: /etc/nginx/nginx.conf includes neither"));
    assert!(Nginx::of(&host("ID=alpine\n", "")).unwrap().is_none());
}

#[test]
fn versions_of_distributions() {
    for (os_release, later) in [
        (DEBIAN, false),
        ("ID=debian\nVERSION_ID=13\n", true),
        ("ID=ubuntu\nVERSION_ID=24.04\n", false),
        ("ID=ubuntu\nVERSION_ID=25.10\n", true),
        ("ID=amzn\nID_LIKE=fedora\nVERSION_ID=2023\n", false),
        (ROCKY, false),
        ("ID=almalinux\nID_LIKE=rhel\nVERSION_ID=10.0\n", true),
        ("ID=fedora\nVERSION_ID=43\n", true),
    ] {
        assert_eq!(Nginx::of(&host(os_release, "")).unwrap().unwrap().http2_directive, later, "{os_release}");
    }
}

#[test]
fn what_is_old_on_ubuntu_16_04() {
    let (xenial, focal) = (host("ID=ubuntu\nVERSION_ID=\"16.04\"\n", ""), host("ID=ubuntu\nVERSION_ID=20.04\n", ""));
    assert!(Nginx::of(&xenial).unwrap().unwrap().before_tls13 && !Nginx::of(&focal).unwrap().unwrap().before_tls13);
    assert!(Rabbitmq::of(&xenial).is_none() && Rabbitmq::of(&focal).is_some());
    assert_eq!(Postgresql::of(&xenial), Some(Postgresql::Versioned(Some("9.5"))));
    let (old, new) = (Cluster::of("9.5", "main"), Cluster::of("12", "main"));
    assert_eq!(old.own, "/etc/postgresql/9.5/main/surefoot.conf");
    assert_eq!((old.includes_own, old.before_scram, new.includes_own, new.before_scram), (false, true, true, false));
}

#[test]
fn layouts_of_suse() {
    let facts = host("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=15.6\n", "");
    let redis = Redis::of(&facts).unwrap();
    assert_eq!((redis.unit, redis.main, redis.own), ("redis@surefoot.service", None, "/etc/redis/surefoot.conf"));
    assert_eq!((redis.data, redis.users), ("/var/lib/redis/surefoot", Users::WithChannels));
    let rabbitmq = Rabbitmq::of(&facts).unwrap();
    assert_eq!(rabbitmq.packages, ["rabbitmq-server", "rabbitmq-server-plugins"]);
    assert_eq!(rabbitmq.port_mapper.map(|mapper| mapper.package), Some("erlang-epmd"));
    assert_eq!(Postgresql::of(&facts).unwrap().package(""), "postgresql-server");
    let nginx = Nginx::of(&facts).unwrap().unwrap();
    assert!(matches!(nginx.sites, Sites::Folder { .. }) && !nginx.http2_directive);
    assert_eq!(web_group(&facts), "nginx");
}

#[test]
fn mongodb_keeps_its_data_where_its_vendor_says() {
    let data = |os_release: &str| Mongodb::of(&host(os_release, "")).map(|layout| layout.data);
    assert_eq!(data(DEBIAN), Some("/var/lib/mongodb"));
    assert_eq!(data(ROCKY), Some("/var/lib/mongo"));
    assert_eq!(data("ID=alpine\n"), None);
}

#[test]
fn plugins_of_rabbitmq() {
    let root = tempfile::tempdir().unwrap();
    let plugins = root.path().join("usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/plugins");
    std::fs::create_dir_all(plugins.join("rabbitmq_mqtt-3.10.8")).unwrap();
    std::fs::write(plugins.join("rabbitmq_stomp-3.8.9.ez"), "").unwrap();
    std::fs::create_dir_all(root.path().join("usr/lib/rabbitmq/plugins/theirs")).unwrap();
    let found: Vec<String> = rabbitmq_plugins(root.path()).into_iter().collect();
    assert_eq!(found, ["rabbitmq_mqtt", "rabbitmq_stomp", "theirs"]);
}

#[test]
fn what_is_too_old() {
    for (os_release, kind, old) in [
        ("ID=centos\nVERSION_ID=7\n", "redis", true),
        ("ID=centos\nVERSION_ID=7\n", "rabbitmq", true),
        ("ID=rhel\nVERSION_ID=7.9\n", "postgresql", true),
        ("ID=rhel\nVERSION_ID=7.9\n", "nginx_site", false),
        ("ID=amzn\nVERSION_ID=2\n", "postgresql", true),
        ("ID=amzn\nVERSION_ID=2023\n", "postgresql", false),
        ("ID=ubuntu\nVERSION_ID=\"16.04\"\n", "rabbitmq", true),
        ("ID=ubuntu\nVERSION_ID=\"16.04\"\n", "redis", true),
        ("ID=ubuntu\nVERSION_ID=\"16.04\"\n", "postgresql", false),
        ("ID=ubuntu\nVERSION_ID=20.04\n", "redis", false),
        (ROCKY, "redis", false),
    ] {
        let facts = host(os_release, "");
        assert_eq!(too_old(&facts, kind).is_some(), old, "{os_release}{kind}");
        let known = match kind {
            "redis" => Redis::of(&facts).is_some(),
            "rabbitmq" => Rabbitmq::of(&facts).is_some(),
            "postgresql" => Postgresql::of(&facts).is_some(),
            _ => Nginx::of(&facts).unwrap().is_some(),
        };
        assert_eq!(known, !old, "{os_release}{kind}");
    }
}

#[test]
fn redis_and_postgresql_of_the_family_of_red_hat() {
    let rhel = |version: &str| format!("ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID={version}\n");
    let redis = |package, main, own| (package, main, own);
    for (os_release, wanted, users, server) in [
        (rhel("8.10"), redis("redis", "/etc/redis.conf", "/etc/redis-surefoot.conf"), Users::None, "postgresql-server"),
        (
            rhel("9.4"),
            redis("redis", "/etc/redis/redis.conf", "/etc/redis/surefoot.conf"),
            Users::WithChannels,
            "postgresql-server",
        ),
        (
            rhel("10.0"),
            redis("valkey", "/etc/valkey/valkey.conf", "/etc/valkey/surefoot.conf"),
            Users::WithChannels,
            "postgresql-server",
        ),
        (
            "ID=fedora\nVERSION_ID=43\n".to_owned(),
            redis("valkey", "/etc/valkey/valkey.conf", "/etc/valkey/surefoot.conf"),
            Users::WithChannels,
            "postgresql-server",
        ),
        (
            "ID=amzn\nID_LIKE=fedora\nVERSION_ID=2023\n".to_owned(),
            redis("redis6", "/etc/redis6/redis6.conf", "/etc/redis6/surefoot.conf"),
            Users::WithChannels,
            "postgresql15-server",
        ),
    ] {
        let facts = host(&os_release, "");
        let layout = Redis::of(&facts).unwrap();
        assert_eq!((layout.package, layout.main.unwrap(), layout.own), wanted, "{os_release}");
        assert_eq!(layout.unit, format!("{}.service", layout.package));
        assert_eq!((layout.users, layout.purged), (users, false), "{os_release}");
        assert_eq!(Postgresql::of(&facts).unwrap().package(""), server, "{os_release}");
    }
}

#[test]
fn clusters_that_go_with_a_package() {
    let root = tempfile::tempdir().unwrap();
    for cluster in ["15/main", "15/crm", "9.5/main"] {
        std::fs::create_dir_all(root.path().join("etc/postgresql").join(cluster)).unwrap();
    }
    for (package, wanted) in [
        ("postgresql-15", &["15/crm", "15/main"][..]),
        ("postgresql-15:amd64", &["15/crm", "15/main"]),
        ("postgresql-9.5", &["9.5/main"]),
        ("postgresql-16", &[]),
        ("postgresql-common", &[]),
        ("postgresql-client-15", &[]),
        ("postgresql-", &[]),
        ("postgresql", &[]),
    ] {
        assert_eq!(clusters_of_package(root.path(), package).unwrap(), wanted, "{package}");
    }
}

#[test]
fn where_the_only_cluster_has_its_data() {
    for (text, wanted) in [
        ("[Service]\nEnvironment=PGDATA=/var/lib/pgsql/data\n", Some("/var/lib/pgsql/data")),
        (
            "Environment=PGDATA=/var/lib/pgsql/data\n[Service]\nEnvironment=\"PGDATA=/srv/pgdata\"\n",
            Some("/srv/pgdata"),
        ),
        ("Environment=A=b PGDATA=/srv/pgdata C=d\n", Some("/srv/pgdata")),
        ("# Environment=PGDATA=/srv/pgdata\nExecStart=/usr/bin/postgres -D ${PGDATA}\n", None),
        ("POSTGRES_DATADIR=\"~postgres/data\"\nPOSTGRES_OPTIONS=\"\"\n", Some("/var/lib/pgsql/data")),
        ("Environment=PGDATA=/nobody/reads/it\nPOSTGRES_DATADIR='/srv/pgdata'\n", Some("/srv/pgdata")),
        ("POSTGRES_DATADIR=\"\"\n", None),
    ] {
        assert_eq!(data_folder(text).as_deref(), wanted, "{text}");
    }
}
