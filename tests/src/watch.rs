//! Watching a host while it is changed: who listens, and who lets in what everybody knows.

use crate::{host::Host, run::Running};
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeSet, time::Duration};

const PROGRAM: &str = include_str!("../data/watch.pl");

/// Ports that RabbitMQ itself takes on all addresses while it starts, to see whether it can, and lets go at once: its own of the distribution, and
/// one by which it learns whether the host speaks IPv6 (`strace -e bind` shows both). No setting keeps it from that, and nobody is answered.
const TAKEN_ON_TRIAL: [u16; 2] = [25672, 49152];

/// A watch of every TCP listener, and of the ports of nginx, RabbitMQ, PostgreSQL, Redis and MongoDB, 50 times a second.
pub struct Watch(Running);

/// What it saw.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Addresses that something listened on, with their ports.
    pub listeners: BTreeSet<(String, u16)>,
    /// Ports at which an attempt with the defaults was refused.
    pub refused: BTreeSet<u16>,
    /// Ports at which it was let in.
    pub let_in: BTreeSet<u16>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(host: &Host) -> Result<Self> {
        host.write("/root/watch/watch.pl", PROGRAM, 0o755)?;
        let mut running = host.run(["perl", "/root/watch/watch.pl"]).patience(Duration::from_secs(900)).spawn()?;
        running.wait_for("watches", Duration::from_secs(10))?;
        Ok(Self(running))
    }

    /// Ends it, and leaves nothing of it on the host.
    ///
    /// # Errors
    /// When it did not end well.
    pub fn end(self, host: &Host) -> Result<Seen> {
        host.write("/root/watch/stop", "", 0o600)?;
        let output = self.0.wait()?.ok()?;
        host.sh("rm -r /root/watch")?;
        Seen::read(&output.stdout)
    }
}

impl Seen {
    fn read(lines: &str) -> Result<Self> {
        let mut seen = Self { listeners: BTreeSet::new(), refused: BTreeSet::new(), let_in: BTreeSet::new() };
        let number = |port: &str| port.parse::<u16>().with_context(|| format!("port {port}"));
        for line in lines.lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["listens", address, port] => drop(seen.listeners.insert((address.to_owned(), number(port)?))),
                [port, "refused"] => drop(seen.refused.insert(number(port)?)),
                [port, "let", "in"] => drop(seen.let_in.insert(number(port)?)),
                // One that is just coming up or going down.
                _ => ensure!(line == "watches" || line.ends_with(" no answer"), "what does '{line}' mean?"),
            }
        }
        Ok(seen)
    }

    /// Insists that nobody was let in, that each of `guarded` refused somebody, and that only the ports `open` were ever reached from
    /// elsewhere.
    ///
    /// # Errors
    /// What was not so.
    pub fn never_open(&self, guarded: &[u16], open: &[u16]) -> Result<()> {
        ensure!(self.let_in.is_empty(), "let in at {:?}", self.let_in);
        let missed: Vec<_> = guarded.iter().filter(|port| !self.refused.contains(port)).collect();
        ensure!(missed.is_empty(), "nobody was refused at {missed:?}: {self:?}");
        let is_local = |address: &str| address.starts_with("127.") || address == "::1";
        // What stays open there is never on loopback, too.
        let is_settled = |port| port == 49152 || self.listeners.iter().any(|(at, its)| *its == port && is_local(at));
        let on_trial = |port: u16| TAKEN_ON_TRIAL.contains(&port) && is_settled(port);
        let is_open = |(address, port): &&(String, u16)| !is_local(address) && !open.contains(port) && !on_trial(*port);
        let exposed: Vec<_> = self.listeners.iter().filter(is_open).collect();
        ensure!(exposed.is_empty(), "seen off loopback: {exposed:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_watch_tells() {
        let seen = |lines: &str| Seen::read(lines).unwrap();
        let fine = seen(
            "watches\nlistens 127.0.0.1 6379\nlistens ::1 6379\nlistens 0.0.0.0 80\n6379 no answer\n6379 refused\n",
        );
        assert!(fine.never_open(&[6379], &[80]).is_ok());
        assert!(fine.never_open(&[6379], &[]).is_err(), "80 is reached from elsewhere");
        assert!(fine.never_open(&[6379, 5432], &[80]).is_err(), "nobody tried 5432");
        let trial = "listens 0.0.0.0 25672\nlistens 0000:0000:0000:0000:0000:0000:0000:0000 49152\n";
        assert!(seen(&format!("{trial}listens 127.0.0.1 25672\n")).never_open(&[], &[]).is_ok());
        assert!(seen(trial).never_open(&[], &[]).is_err(), "RabbitMQ stays open");
        assert!(seen("6379 refused\n6379 let in\n").never_open(&[6379], &[]).is_err());
        assert!(Seen::read("Perl says something").is_err());
    }
}
