//! A long line between a host and the machine's lab address.

use crate::{host::Host, network, place, tool};
use anyhow::{Context, Result, ensure};
use std::{
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// One way in microseconds, bits per second, bytes that wait in its queue.
const LINE: [&str; 3] = ["25000", "50000000", "524288"];
/// The machine's own network, by a name that the line can be told.
const ROOT: &str = "sflabroot";

/// 50 ms there and back, 50 Mbit/s. Gone when dropped.
#[derive(Debug)]
pub struct Line(Child);

impl Line {
    /// Lays it to `host`, which reaches the mirror by it from now on.
    ///
    /// # Errors
    /// When it cannot be laid.
    pub fn lay(host: &Host) -> Result<Self> {
        let program = place::dir("cache")?.join("delaynet");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/delaynet.c");
        tool::tool("cc", ["-O2", "-w", "-o", &program.display().to_string(), source])?;
        if !PathBuf::from("/run/netns").join(ROOT).exists() {
            tool::tool("ip", ["netns", "attach", ROOT, &std::process::id().to_string()])?;
        }
        let (inside, slot) = (host.netns().name, host.record().slot);
        let (near, far) = (format!("sfline{slot}h"), format!("sfline{slot}r"));
        // Killed without being dropped, it would take the host's next namesake off the network.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args([inside.as_str(), ROOT, &near, &far])
            .args(LINE)
            .arg("0");
        let line = Self(command.spawn().context("cannot start delaynet")?);
        let until = Instant::now() + Duration::from_secs(5);
        while !tool::succeeds("ip", ["link", "show", "dev", &far])
            || !tool::succeeds("ip", ["-n", &inside, "link", "show", "dev", &near])
        {
            ensure!(Instant::now() < until, "the line to {inside} is not there");
            std::thread::sleep(Duration::from_millis(10));
        }
        let address = host.address();
        for args in [
            vec!["-n", &inside, "link", "set", &near, "up"],
            vec!["link", "set", &far, "up"],
            vec!["-n", &inside, "route", "replace", network::GATEWAY, "dev", &near, "src", &address],
            vec!["route", "replace", &address, "dev", &far],
        ] {
            tool::tool("ip", args)?;
        }
        Ok(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
