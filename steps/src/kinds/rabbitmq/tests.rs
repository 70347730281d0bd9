//! What a step expands to, and what is refused.

use distro::facts::Family;
use distro::{Class, Fault};
use serde_json::json;

use super::*;
use crate::kinds::testing::{Step, names, wants};

#[test]
fn what_a_step_expands_to() {
    let step = Step::new("broker");
    let settings = json!({
        "user": "admin", "password": "hunter2", "memory": "256 MiB", "plugins": ["rabbitmq_shovel"],
        "users": [{"name": "shop", "password": "hunter22"}],
    });
    let resources = step.expand::<Settings>(settings).unwrap();
    let expected = [
        "packages all",
        "directory /etc/systemd/system/epmd.socket.d",
        "file /etc/systemd/system/epmd.socket.d/surefoot.conf",
        "directory /etc/systemd/system/rabbitmq-server.service.d",
        "file /etc/systemd/system/rabbitmq-server.service.d/surefoot.conf",
        "directory /etc/rabbitmq/conf.d",
        "file /etc/rabbitmq/conf.d/90-surefoot.conf",
        "plugins /etc/rabbitmq/enabled_plugins",
        "node_name /etc/rabbitmq/rabbitmq-env.conf",
        "directory /etc/rabbitmq/definitions.d",
        "file /etc/rabbitmq/definitions.d/surefoot.json",
        "service epmd.socket",
        "service epmd.service",
        "service rabbitmq-server.service",
        "accounts rabbitmq-server.service",
    ];
    assert_eq!(names(&resources), expected);
    assert_eq!(
        wants(&resources, expected[6]),
        "file 0640 root:rabbitmq\n\
         # Written by surefoot: what is changed here is put back at its next run.\n\
         listeners.tcp.default = 127.0.0.1:5672\n\
         listeners.tcp.surefoot_1 = ::1:5672\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = 15672\n\
         vm_memory_high_watermark.absolute = 268435456\n\
         load_definitions = /etc/rabbitmq/definitions.d\n"
    );
    assert!(!wants(&resources, expected[10]).contains("hunter2"), "a definition has hashes only");
    assert!(!format!("{resources:?}").contains("hunter2"), "the password is not told");
}

#[test]
fn what_plugins_bring_listens_where_it_should() {
    let mut step = Step::new("broker");
    step.facts.ipv6 = false;
    for (plugin, listening) in [
        ("rabbitmq_shovel", ""),
        ("rabbitmq_mqtt", "mqtt.listeners.tcp.default = 10.0.0.1:1883"),
        ("rabbitmq_stream_management", "stream.listeners.tcp.default = 10.0.0.1:5552"),
        ("rabbitmq_prometheus", "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = 15692"),
        ("rabbitmq_shovel_prometheus", "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = 15692"),
        (
            "rabbitmq_web_stomp_examples",
            "stomp.listeners.tcp.default = 10.0.0.1:61613\nweb_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = 15674",
        ),
    ] {
        let settings = json!({"user": "a", "password": "x", "bind": ["10.0.0.1"], "plugins": [plugin]});
        let config = wants(&step.expand::<Settings>(settings).unwrap(), "file /etc/rabbitmq/conf.d/90-surefoot.conf");
        let (_, rest) = config.split_once("\nlisteners.tcp.default = 10.0.0.1:5672\n").unwrap();
        let (found, _) = rest.split_once("management.tcp.ip").unwrap();
        assert_eq!(found.trim_end(), listening, "{plugin}");
    }
}

#[test]
fn where_the_node_brings_the_port_mapper_along() {
    let mut step = Step::new("broker");
    step.facts.family = Family::RedHat;
    let resources = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap();
    let expected = [
        "packages all",
        "data_folder /var/lib/rabbitmq",
        "file /etc/rabbitmq/rabbitmq-env.conf",
        "directory /etc/systemd/system/rabbitmq-server.service.d",
        "file /etc/systemd/system/rabbitmq-server.service.d/surefoot.conf",
    ];
    assert_eq!(names(&resources)[..5], expected);
    assert!(!names(&resources).iter().any(|name| name.contains("epmd")));
}

#[test]
fn one_that_reads_another_configuration_is_refused_unless_it_is_somebody_elses() {
    let mut step = Step::new("broker");
    (step.facts.base, step.facts.base_version) = ("ubuntu".into(), "16.04".into());
    let error = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap_err();
    assert!(error.to_string().contains(" is older than 3.7 "), "{error}");
    let fault = Fault::find(&error).unwrap();
    assert_eq!(fault.class, Class::Unsupported);
    assert!(fault.advice.ends_with("install on Ubuntu 20.04 or later"), "{}", fault.advice);
    let external = json!({"user": "a", "password": "x", "external": "mq.example.com:5672"});
    assert_eq!(names(&step.expand::<Settings>(external).unwrap()), ["login a@mq.example.com:5672"]);
}

#[test]
fn what_is_imported_once_and_what_at_every_start() {
    let mut step = Step::new("broker");
    step.facts.ipv6 = false;
    for (base, version, once) in [
        ("debian", "11", false),
        ("debian", "12", false),
        ("debian", "13", true),
        ("ubuntu", "24.04", false),
        ("", "", false),
    ] {
        (step.facts.base, step.facts.base_version) = (base.into(), version.into());
        let resources = step.expand::<Settings>(json!({"user": "a", "password": "x"})).unwrap();
        let config = wants(&resources, "file /etc/rabbitmq/conf.d/90-surefoot.conf");
        assert!(config.contains("\nvm_memory_high_watermark.relative = 0.25\n"), "{config}");
        assert_eq!(config.ends_with("\ndefinitions.skip_if_unchanged = true\n"), once, "{base} {version}");
        assert_eq!(config.ends_with("\nload_definitions = /etc/rabbitmq/definitions.d\n"), !once, "{base} {version}");
    }
}

#[test]
fn where_erlang_listens() {
    let (here, other) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 1, 1));
    assert!(socket_file(here).ends_with("[Socket]\nListenStream=\nListenStream=127.0.0.1:4369\n"));
    assert!(socket_file(other).ends_with("=\nListenStream=127.0.0.1:4369\nListenStream=127.0.1.1:4369\n"));
    let line = "Environment=\"ERL_ZFLAGS=-kernel inet_dist_use_interface {127,0,1,1}\" ERL_EPMD_ADDRESS=127.0.1.1\n";
    assert!(unit_file(other).ends_with(line));
}

#[test]
fn a_server_that_is_there_already() {
    let settings = json!({"user": "a", "password": "hunter2", "external": "mq.example.com:5672"});
    let resources = Step::new("broker").expand::<Settings>(settings).unwrap();
    assert_eq!(names(&resources), ["login a@mq.example.com:5672"]);
    assert!(!format!("{resources:?}").contains("hunter2"));
}

#[test]
fn settings_that_cannot_be_meant() {
    let other = |user: serde_json::Value| json!({"user": "a", "password": "x", "users": [user]});
    for (settings, wanted) in [
        (json!({"user": "a:b", "password": "x"}), "'a:b' is not a name that a user can have"),
        (
            json!({"user": "a", "password": ""}),
            "the password of 'a' is empty, too long or has a control character in it",
        ),
        (
            json!({"user": "guest", "password": "x"}),
            "'guest' may log in with a password that everybody knows, and is removed",
        ),
        (other(json!({"name": "a", "password": "y"})), "user 'a' is there twice"),
        (
            other(json!({"name": "b", "password": "y", "permissions": [{"vhost": "v"}]})),
            "a user has permissions in 'v', which is not one of 'vhosts'",
        ),
        (json!({"user": "a", "password": "x", "vhosts": []}), "'vhosts' is empty, or a port is 0"),
        (
            json!({"user": "a", "password": "x", "memory": "1 MiB"}),
            "'memory' is less than 128 MiB, which the server takes by itself",
        ),
        (
            json!({"user": "a", "password": "x", "port": 15672}),
            "port 15672 cannot be that of AMQP and of the management page",
        ),
        (json!({"user": "a", "password": "x", "plugins": ["A b"]}), "'plugins': 'A b' is not the name of a plugin"),
    ] {
        let error = Step::new("broker").expand::<Settings>(settings).unwrap_err();
        assert_eq!(error.to_string(), format!("step 'broker': {wanted}"));
    }
}
