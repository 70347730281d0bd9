//! The files that tell RabbitMQ and Erlang where to listen.

use std::net::{IpAddr, Ipv4Addr};

use distro::layout::Rabbitmq;

use super::{FOLDER, Settings};

/// Plugins that would listen on all addresses, without `rabbitmq_`, with their ports.
const PROTOCOLS: [(&str, u16); 3] = [("mqtt", 1883), ("stomp", 61613), ("stream", 5552)];
/// The same of those that answer over HTTP.
const PAGES: [(&str, u16); 3] = [("web_mqtt", 15675), ("web_stomp", 15674), ("prometheus", 15692)];

/// Does the plugin `name` bring that one, itself or as what it needs? (`rabbitmq_web_mqtt_examples` needs `web_mqtt`, and that `mqtt`;
/// `rabbitmq_shovel_prometheus` needs `prometheus`.)
fn brings(name: &str, plugin: &str) -> bool {
    let name = name.strip_prefix("rabbitmq_").unwrap_or(name);
    let needs = |name: &str| {
        let begins = name.strip_prefix(plugin).is_some_and(|rest| rest.starts_with('_'));
        begins || name == plugin || name.strip_suffix(plugin).is_some_and(|rest| rest.ends_with('_'))
    };
    needs(name) || name.strip_prefix("web_").is_some_and(needs)
}

impl Settings {
    /// Our file in `conf.d`, with AMQP on the addresses `bind`.
    pub(super) fn config(&self, layout: &Rabbitmq, bind: &[IpAddr]) -> String {
        let mut lines = vec!["# Written by surefoot: what is changed here is put back at its next run.".to_owned()];
        // `default` is the name of the listener that every example has: another one would listen besides it.
        let listeners = |of: &str, port: u16| -> Vec<String> {
            let name = |at| if at == 0 { "default".to_owned() } else { format!("surefoot_{at}") };
            let line = |(at, address)| format!("{of}listeners.tcp.{} = {address}:{port}", name(at));
            bind.iter().enumerate().map(line).collect()
        };
        lines.extend(listeners("", self.port));
        for (plugin, port) in PROTOCOLS {
            if self.plugins.iter().any(|name| brings(name, plugin)) {
                lines.extend(listeners(&format!("{plugin}."), port));
            }
        }
        for (plugin, port) in PAGES {
            if self.plugins.iter().any(|name| brings(name, plugin)) {
                lines.extend([format!("{plugin}.tcp.ip = 127.0.0.1"), format!("{plugin}.tcp.port = {port}")]);
            }
        }
        lines.push("management.tcp.ip = 127.0.0.1".to_owned());
        lines.push(format!("management.tcp.port = {}", self.management_port));
        lines.push(match self.memory {
            Some(size) => format!("vm_memory_high_watermark.absolute = {}", size.0),
            None => "vm_memory_high_watermark.relative = 0.25".to_owned(),
        });
        if layout.imports_once {
            lines.push("definitions.import_backend = local_filesystem".to_owned());
            lines.push(format!("definitions.local.path = {FOLDER}/definitions.d"));
            lines.push("definitions.skip_if_unchanged = true".to_owned());
        } else {
            lines.push(format!("load_definitions = {FOLDER}/definitions.d"));
        }
        lines.join("\n") + "\n"
    }
}

/// Erlang's own listeners: the one between nodes, which also tools use, and the port mapper, where it is not started by its socket.
pub(super) fn unit_file(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Service]\n\
         Environment=\"ERL_ZFLAGS=-kernel inet_dist_use_interface {{{a},{b},{c},{d}}}\" ERL_EPMD_ADDRESS={address}\n"
    )
}

/// The port mapper's socket. A node makes itself known at 127.0.0.1, whatever its own address.
pub(super) fn socket_file(address: Ipv4Addr) -> String {
    let mut addresses = vec![Ipv4Addr::LOCALHOST, address];
    addresses.dedup();
    let lines: String = addresses.iter().map(|address| format!("ListenStream={address}:4369\n")).collect();
    format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Socket]\nListenStream=\n{lines}"
    )
}
