//! `rabbitmqctl`, and what it takes back.

use std::time::Duration;

use anyhow::Result;
use distro::{Command, find_program};

use super::UNIT;
use crate::{UndoCx, Undone};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);
const TOOL: &str = "rabbitmqctl";

/// `rabbitmqctl`, which is an Erlang node of its own while it runs and listens, too.
pub(super) fn tool(args: &[&str]) -> Command<'static> {
    Command::new(TOOL)
        .arg("-q")
        .args(args.iter().copied())
        .env("ERL_ZFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .limit(LIMIT)
}

/// A user was made: deleted.
pub(crate) fn undo_user(cx: &UndoCx<'_>, name: &str) -> Result<Undone> {
    undo(cx, "user", name)
}

/// A virtual host was made: deleted with everything in it.
pub(crate) fn undo_vhost(cx: &UndoCx<'_>, name: &str) -> Result<Undone> {
    undo(cx, "vhost", name)
}

fn undo(cx: &UndoCx<'_>, what: &str, name: &str) -> Result<Undone> {
    let whole = format!("{what} {name} of RabbitMQ");
    if find_program(TOOL).is_none() {
        return Ok(Undone::Gone);
    }
    if !cx.look.unit(UNIT)?.active {
        return Ok(Undone::Kept(format!("{whole} stays in its data: it does not run")));
    }
    let output = tool(&[&format!("delete_{what}"), name]).output(&cx.host.runner)?;
    if output.ok() {
        return Ok(Undone::Done(format!("deleted {whole}")));
    }
    let said = output.tail.join(" ");
    Ok(if said.contains("does not exist") || said.contains("no_such") {
        Undone::Gone
    } else {
        Undone::Kept(format!("{whole} cannot be deleted: {}", reason(&output.tail)))
    })
}

/// The line that says why, of the page that RabbitMQ's program says where it does not reach the node.
fn reason(said: &[String]) -> &str {
    let line = said
        .iter()
        .find(|line| line.contains("unable to connect"))
        .or_else(|| said.iter().find(|line| !line.is_empty()));
    line.map_or("", |line| line.trim_start_matches([' ', '*']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_the_node_is_not_reached() {
        let said = "Error: unable to perform an operation on node 'rabbit@box'. Please see diagnostics below.\n\n\
                    Most common reasons for this are:\n\n * Target node is not running\n\nDIAGNOSTICS\n===========\n\n\
                    rabbit@box:\n  * unable to connect to epmd (port 4369) on box: nxdomain (non-existing domain)\n\n\
                    Current node details:\n * node name: 'rabbitmqcli-730-rabbit@box'\n";
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(reason(&lines), "unable to connect to epmd (port 4369) on box: nxdomain (non-existing domain)");
        assert_eq!(reason(&["".to_owned(), "Error: x".to_owned(), "more".to_owned()]), "Error: x");
        assert_eq!(reason(&[]), "");
    }
}
