//! `surefoot endpoints`: what on the network an install will reach.

use anyhow::Result;
use steps::Endpoint;

use super::EndpointsArgs;
use super::context::Context;
use super::product::{Product, Source, Unclear};
use crate::blueprint::MadeUp;
use crate::engine::plan;
use crate::preflight::endpoints::{self, Reached, Wanted};

/// Runs it.
///
/// # Errors
/// Where blueprint or inputs are wrong.
pub fn run(context: &Context, args: &EndpointsArgs) -> Result<i32> {
    let host = context.host()?;
    let made_up = MadeUp::default();
    // Nothing is going to be installed here.
    let unclear = Unclear { ask: Some(&made_up), ignore: &["system".to_owned()], ..Unclear::LOOK };
    let product = Product::load(context, &host, &Source::Given(&args.what), &unclear)?;
    let names = made_up.names();
    if !names.is_empty() {
        context.bus.warn(format!("made up for this list, since not given: {}", names.join(", ")));
    }
    let (_, resources) = plan::expand(&|facts| product.expand(facts), &host.facts)?;
    let named: Vec<Endpoint> = resources.iter().flat_map(|(_, _, resource)| resource.endpoints()).collect();
    let mut wanted: Vec<Wanted> = named.iter().cloned().map(Wanted::ours).collect();
    if resources.iter().any(|(_, _, resource)| resource.packages().is_some()) {
        wanted.extend(endpoints::of_package_manager(&host, &named)?);
        if let Some(why) = endpoints::unseen(&host) {
            context.bus.warn(format!("{why}: what is asked for there is not in this list"));
        }
    }
    let reached = endpoints::hosts(&host, &wanted);
    context.print(&if context.json() {
        serde_json::to_string_pretty(&reached)? + "\n"
    } else if args.firewall {
        firewall(&host.facts.fqdn, &reached)
    } else {
        table(&reached)
    });
    Ok(0)
}

fn table(reached: &[Reached]) -> String {
    let place = |one: &Reached| format!("{}:{}", one.host, one.port);
    let width = reached.iter().map(|one| place(one).len()).max().unwrap_or(0).max("HOST:PORT".len());
    let mut text = format!("{:<width$}  PROTOCOL  WHAT FOR\n", "HOST:PORT");
    for one in reached {
        for (number, purpose) in one.purposes.iter().enumerate() {
            let (place, protocol) = if number == 0 { (place(one), one.protocol.as_str()) } else { Default::default() };
            text.push_str(format!("{place:<width$}  {protocol:<8}  {purpose}").trim_end());
            text.push('\n');
        }
    }
    let mut proxies: Vec<&str> = reached.iter().map(|one| one.by.as_str()).filter(|by| *by != "direct").collect();
    proxies.sort_unstable();
    proxies.dedup();
    for proxy in proxies {
        text.push_str(&format!("\nThis host itself connects to {proxy} only, which has to let it reach these.\n"));
    }
    text
}

fn firewall(host: &str, reached: &[Reached]) -> String {
    let line = |one: &Reached| {
        let by = if one.by == "direct" { String::new() } else { format!(" by {}", one.by) };
        format!(
            "allow tcp from {host} to {} port {}{by} # {}: {}\n",
            one.host,
            one.port,
            one.protocol,
            one.purposes.join("; ")
        )
    };
    reached.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_lines_for_a_firewall() {
        let one = |host: &str, port, protocol: &str, purposes: &[&str], by: &str| Reached {
            host: host.into(),
            port,
            protocol: protocol.into(),
            purposes: purposes.iter().map(ToString::to_string).collect(),
            by: by.into(),
        };
        let reached = [
            one("deb.debian.org", 80, "http", &["packages of this host (a)", "packages of this host (b)"], "direct"),
            one("packages.redis.io", 443, "https", &["package repository redis"], "http://proxy:3128"),
        ];
        insta::assert_snapshot!(table(&reached), @"
        HOST:PORT              PROTOCOL  WHAT FOR
        deb.debian.org:80      http      packages of this host (a)
                                         packages of this host (b)
        packages.redis.io:443  https     package repository redis

        This host itself connects to http://proxy:3128 only, which has to let it reach these.
        ");
        insta::assert_snapshot!(firewall("box.corp", &reached), @"
        allow tcp from box.corp to deb.debian.org port 80 # http: packages of this host (a); packages of this host (b)
        allow tcp from box.corp to packages.redis.io port 443 by http://proxy:3128 # https: package repository redis
        ");
    }
}
