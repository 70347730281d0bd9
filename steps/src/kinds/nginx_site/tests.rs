//! Sites, and what they come to.

use serde_json::json;

use super::*;
use crate::kinds::testing::{Step, names, wants};

const SITE: &str = "file /etc/nginx/sites-available/demo-site.conf";

#[test]
fn a_site_of_files() {
    let resources =
        Step::new("site").expand::<Settings>(json!({"names": ["a.example", "b"], "index": "i.html"})).unwrap();
    let expected = [
        "packages all",
        "directory /var/www/demo-site",
        "file /var/www/demo-site/index.html",
        SITE,
        "absent /etc/nginx/sites-enabled/default",
        "symlink /etc/nginx/sites-enabled/zz-demo-site.conf",
        "service nginx.service",
    ];
    assert_eq!(names(&resources), expected);
    assert_eq!(wants(&resources, "file /var/www/demo-site/index.html"), "file 0644 root:root\nrendered i.html\n");
    assert_eq!(
        wants(&resources, SITE),
        "file 0644 root:root\n\
         # Written by surefoot: what is changed here is put back at its next run.\n\
         server {\n    listen 80;\n    listen [::]:80;\n    server_name a.example b;\n    server_tokens off;\n\n    \
         add_header X-Content-Type-Options nosniff always;\n    add_header X-Frame-Options SAMEORIGIN always;\n    \
         add_header Referrer-Policy same-origin always;\n\n    \
         root /var/www/demo-site;\n    index index.html;\n\n    \
         location / {\n        try_files $uri $uri/ =404;\n    }\n}\n"
    );
}

#[test]
fn a_site_where_nginx_reads_them_from_one_folder() {
    let mut step = Step::new("site");
    step.facts.nginx = Some(distro::nginx::Config::read("user nginx; http { include /etc/nginx/conf.d/*.conf; }"));
    let resources = step.expand::<Settings>(json!({"names": ["a"], "certificate": "step:certificate"})).unwrap();
    let expected = [
        "packages all",
        "directory /var/www",
        "directory /var/www/demo-site",
        "file /etc/nginx/conf.d/zz-demo-site.conf",
        "absent /etc/nginx/conf.d/default.conf",
        "lines /etc/nginx/nginx.conf",
        "service nginx.service",
    ];
    assert_eq!(names(&resources), expected);
    let config = "config: [\"/etc/nginx/nginx.conf\", \"/etc/nginx/conf.d/zz-demo-site.conf\", \
                  \"/etc/nginx/conf.d/default.conf\", \"/c.crt\", \"/c.key\"]";
    let service = format!("{:?}", resources.last().unwrap());
    assert!(service.contains(config), "{service}");
}

#[test]
fn a_name_that_nginx_has_no_room_for_is_an_expression() {
    let (most, more) = ("a".repeat(46), format!("{}.Example", "b".repeat(39)));
    let settings = json!({"names": [most, more, format!("*.{more}")], "certificate": "step:certificate"});
    let text = wants(&Step::new("site").expand::<Settings>(settings).unwrap(), SITE);
    let b = "b".repeat(39);
    let wanted = format!("    server_name {most} ~^{b}\\.example$ ~^.+\\.{b}\\.example$;\n");
    assert_eq!(text.matches(&wanted).count(), 2, "{text}");
}

#[test]
fn a_host_with_approved_algorithms_only_has_no_other_curves() {
    for (fips, curves) in [(false, "X25519:prime256v1:secp384r1"), (true, "prime256v1:secp384r1")] {
        let mut step = Step::new("site");
        step.facts.fips = fips;
        let resources = step.expand::<Settings>(json!({"names": ["a"], "certificate": "step:certificate"})).unwrap();
        let line = format!("    ssl_ecdh_curve {curves};\n");
        assert!(wants(&resources, SITE).contains(&line), "{}", wants(&resources, SITE));
    }
}

#[test]
fn an_openssl_of_before_x25519_is_not_asked_for_it() {
    for (base, version, curves) in [
        ("rhel", "7", "prime256v1:secp384r1"),
        ("amzn", "2", "prime256v1:secp384r1"),
        ("rhel", "8.9", "X25519:prime256v1:secp384r1"),
    ] {
        let mut step = Step::new("site");
        (step.facts.base, step.facts.base_version) = (base.into(), version.into());
        let resources = step.expand::<Settings>(json!({"names": ["a"], "certificate": "step:certificate"})).unwrap();
        assert!(wants(&resources, SITE).contains(&format!("    ssl_ecdh_curve {curves};\n")), "{base} {version}");
    }
}

#[test]
fn an_nginx_of_before_tls_1_3_gets_what_it_knows() {
    let mut step = Step::new("site");
    (step.facts.base, step.facts.base_version) = ("ubuntu".into(), "16.04".into());
    let resources = step.expand::<Settings>(json!({"names": ["a"], "certificate": "step:certificate"})).unwrap();
    let text = wants(&resources, SITE);
    for line in ["return 307 https://$host$request_uri;", "ssl_protocols TLSv1.2;", "ssl_ecdh_curve prime256v1;"] {
        assert!(text.contains(&format!("    {line}\n")), "{line} is not in {text}");
    }
    assert!(!text.contains(":DHE-") && !text.contains("ssl_ciphers DHE-"), "{text}");
}

#[test]
fn folders_that_selinux_has_to_let_it_read() {
    let mut step = Step::new("site");
    let settings = json!({"names": ["a"], "certificate": "step:renewed", "root": "/usr/share/app", "locations": [
        {"path": "/a/", "root": "/data/a"}, {"path": "/b/", "root": "/var/www/b"}, {"path": "/c/", "root": "/data/a/"}]});
    let rules = |step: &Step| {
        let named = names(&step.expand::<Settings>(settings.clone()).unwrap());
        named.into_iter().filter(|name| name.starts_with("selinux_rule")).collect::<Vec<_>>()
    };
    assert_eq!(rules(&step), Vec::<String>::new());
    step.facts.selinux = Some("enforcing".into());
    assert_eq!(rules(&step), ["selinux_rule /data/a", "selinux_rule /webroot"]);
}

#[test]
fn a_site_of_another_server() {
    let mut step = Step::new("site");
    step.facts.ipv6 = false;
    let settings = json!({"names": ["a"], "port": 8080, "upstream": "http://127.0.0.1:9101"});
    let resources = step.expand::<Settings>(settings).unwrap();
    let text = wants(&resources, SITE);
    assert!(text.contains("    listen 8080;\n    server_name a;\n"), "{text}");
    assert!(text.contains("        proxy_pass http://127.0.0.1:9101;\n"), "{text}");
    assert_eq!(names(&resources).len(), 5);
}

#[test]
fn a_site_with_tls() {
    let expand = |settings, debian: &str| {
        let mut step = Step::new("site");
        step.facts.base_version = debian.to_owned();
        let resources = step.expand::<Settings>(settings).unwrap();
        (wants(&resources, SITE), format!("{:?}", resources.last().unwrap()))
    };
    let (text, service) = expand(json!({"names": ["a"], "certificate": "step:certificate"}), "12");
    let begin = "server {\n    listen 80;\n    listen [::]:80;\n    server_name a;\n    server_tokens off;\n\n    \
                 return 308 https://$host$request_uri;\n}\n\n\
                 server {\n    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n    server_name a;\n";
    assert!(text.contains(begin), "{text}");
    for line in ["ssl_certificate /c.crt;", "ssl_certificate_key /c.key;", "ssl_protocols TLSv1.2 TLSv1.3;"] {
        assert!(text.contains(&format!("\n    {line}\n")), "{line} in {text}");
    }
    for part in ["a request for https://a:443/", "ports: [443, 80]", "\"/c.crt\", \"/c.key\"]"] {
        assert!(service.contains(part), "{part} in {service}");
    }
    let other = json!({"names": ["a"], "certificate": "step:certificate", "port": 8443, "http_port": 8080});
    let (text, _) = expand(other, "13");
    assert!(text.contains("    listen [::]:8443 ssl;\n    http2 on;\n"), "{text}");
    assert!(text.contains("    return 308 https://$host:8443$request_uri;\n"), "{text}");
}

#[test]
fn a_site_whose_certificate_is_renewed_without_us() {
    let settings = json!({"names": ["a"], "certificate": "step:renewed"});
    let resources = Step::new("site").expand::<Settings>(settings).unwrap();
    let begin = "server {\n    listen 80;\n    listen [::]:80;\n    server_name a;\n    server_tokens off;\n\n    \
                 location / {\n        return 308 https://$host$request_uri;\n    }\n\n    \
                 # Where an authority gives the certificate, it looks here for what it asked for.\n    \
                 location ^~ /.well-known/acme-challenge/ {\n        alias /webroot/;\n        types { }\n        \
                 default_type application/octet-stream;\n    }\n}\n";
    let text = wants(&resources, SITE);
    assert!(text.contains(begin), "{text}");
    let service = format!("{:?}", resources.last().unwrap());
    assert!(service.contains("proven: [\"/c.crt\"]"), "{service}");
}

#[test]
fn parts_of_a_site() {
    let locations = json!([
        {"path": "/api/", "upstream": "http://127.0.0.1:9101/", "timeout": "90 s",
         "down": {"status": 503, "type": "application/json", "body": "{\"a\": 1}"}},
        {"path": "/stream/", "upstream": "http://127.0.0.1:9102/", "events": true},
        {"path": "/docs/", "root": "/usr/share/doc"},
    ]);
    let resources = Step::new("site").expand::<Settings>(json!({"names": ["a"], "locations": locations})).unwrap();
    let text = wants(&resources, SITE);
    let proxied = |path: &str, port: u16, more: &str| {
        format!(
            "    location {path} {{\n        proxy_pass http://127.0.0.1:{port}/;\n        proxy_http_version 1.1;\n        \
             proxy_set_header Host $host;\n        proxy_set_header X-Real-IP $remote_addr;\n        \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n        \
             proxy_set_header X-Forwarded-Proto $scheme;\n        proxy_set_header Connection \"\";\n        \
             proxy_set_header X-Forwarded-User \"\";\n{more}    }}\n"
        )
    };
    for part in [
        proxied("/api/", 9101, "        error_page 502 =503 @down0;\n        proxy_read_timeout 90000ms;\n"),
        "    location @down0 {\n        default_type application/json;\n        return 503 '{\"a\": 1}';\n    }\n"
            .to_owned(),
        proxied(
            "/stream/",
            9102,
            "        proxy_buffering off;\n        proxy_cache off;\n        proxy_read_timeout 3600000ms;\n",
        ),
        "    location /docs/ {\n        alias /usr/share/doc/;\n    }\n".to_owned(),
        "    location / {\n        try_files".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
}

#[test]
fn a_site_with_users() {
    let locations = json!([
        {"path": "/api/", "upstream": "http://127.0.0.1:9101/"},
        {"path": "/open/", "upstream": "http://127.0.0.1:9102/", "open": true},
    ]);
    let settings = json!({"names": ["a"], "users": "step:users", "locations": locations});
    let resources = Step::new("site").expand::<Settings>(settings).unwrap();
    assert_eq!(names(&resources).last().unwrap(), "login http://a:80/");
    assert!(!format!("{resources:?}").contains("hunter2"));
    let text = wants(&resources, SITE);
    assert!(text.contains("    auth_basic \"a\";\n    auth_basic_user_file /users;\n"), "{text}");
    // The password of the site is none of the server's business, and nobody can say that he is somebody.
    let of = |path: &str| text.split(&format!("location {path} {{")).nth(1).unwrap().split('}').next().unwrap();
    let user = "X-Forwarded-User $remote_user;";
    assert!(of("/api/").contains(user) && of("/api/").contains("proxy_set_header Authorization \"\";"), "{text}");
    assert!(of("/open/").contains("auth_basic off;") && of("/open/").contains("X-Forwarded-User \"\";"), "{text}");
    assert!(!of("/open/").contains("Authorization"), "{text}");
}

#[test]
fn what_a_site_is_asked_by() {
    for (names, url, site) in [
        (json!(["a.example"]), "http://a.example:80/", None),
        (json!(["192.0.2.10", "a.example"]), "http://a.example:80/", None),
        (json!(["192.0.2.10"]), "http://localhost:80/", Some("192.0.2.10")),
        (json!(["2001:db8::1"]), "http://localhost:80/", Some("[2001:db8::1]")),
        (json!(["[2001:db8::1]"]), "http://localhost:80/", Some("[2001:db8::1]")),
        (json!(["*.example"]), "http://localhost:80/", Some("surefoot.example")),
    ] {
        let settings: Settings = serde_json::from_value(json!({ "names": names })).unwrap();
        assert_eq!((settings.url(80, false).as_str(), settings.site().as_deref()), (url, site), "{names}");
    }
}

#[test]
fn settings_that_cannot_be_meant() {
    let step = Step::new("site");
    for (settings, wanted) in [
        (json!({"names": []}), "'names' is empty"),
        (json!({"names": ["a;b"]}), "'a;b' is not the name of a site"),
        (json!({"names": ["a"], "port": 0}), "there is no port 0"),
        (json!({"names": ["a"], "http_port": 80}), "'http_port' goes with 'certificate' only"),
        (json!({"names": ["a"], "certificate": "step:redis"}), "step 'redis' has no certificate"),
        (
            json!({"names": ["a"], "certificate": "step:certificate", "port": 80}),
            "port 80 cannot take requests with TLS and without",
        ),
        (json!({"names": ["a"], "locations": [{"path": "a"}]}), "the 'path' of a location cannot be 'a'"),
        (json!({"names": ["a"], "users": "step:certificate"}), "step 'certificate' has no users"),
        (json!({"names": ["a"], "locations": [{"path": "/", "root": "/a"}]}), "'/' is the whole site, and no location"),
        (json!({"names": ["a"], "locations": [{"path": "/a"}]}), "location '/a' has neither 'root' nor 'upstream'"),
        (
            json!({"names": ["a"], "locations": [{"path": "/a", "root": "/a", "events": true}]}),
            "location '/a': 'events', 'timeout' and 'down' go with 'upstream' only",
        ),
        (
            json!({"names": ["a"], "locations": [{"path": "/a", "upstream": "http://x/", "down": {"status": 503, "type": "a/b", "body": "$x"}}]}),
            "location '/a': 'down' cannot be written there",
        ),
        (json!({"names": ["a"], "root": "www"}), "'root' is not a path that can be written there: 'www'"),
        (json!({"names": ["a"], "root": "/w w"}), "'root' is not a path that can be written there: '/w w'"),
        (json!({"names": ["a"], "root": "/w", "upstream": "http://x/"}), "'root' and 'upstream' do not go together"),
        (json!({"names": ["a"], "index": "i", "upstream": "http://x/"}), "'index' does not go with 'upstream'"),
        (json!({"names": ["a"], "upstream": "x"}), "'upstream': the URL is not valid: relative URL without a base"),
        (
            json!({"names": ["a"], "upstream": "http://x/$y"}),
            "'upstream' has a character in it that nginx takes for its own, or a secret",
        ),
        (
            json!({"names": ["a"], "upstream": "http://x/hunter2"}),
            "'upstream' has a character in it that nginx takes for its own, or a secret",
        ),
    ] {
        let error = step.expand::<Settings>(settings).unwrap_err();
        assert_eq!(distro::Fault::class_of(&error), distro::Class::Blueprint);
        assert_eq!(error.to_string(), format!("step 'site': {wanted}"));
    }
}

#[test]
fn names_of_sites() {
    for (name, good) in [
        ("a.example", true),
        ("*.a.example", true),
        ("127.0.0.1", true),
        ("_", true),
        ("-a", false),
        ("", false),
        ("a b", false),
        ("a/b", false),
    ] {
        assert_eq!(is_server_name(name), good, "{name}");
    }
}
