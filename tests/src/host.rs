//! A disposable host.

use crate::{
    base, boot,
    cgroup::HostGroup,
    cleanup,
    lock::Lock,
    mirror,
    network::{Netns, Reach},
    place, product,
    registry::{self, Record},
    run::{Output, Run},
    snapshot::Snapshot,
    suite::Suite,
    tool,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// What every host is called unless a test says otherwise, so that two hosts can be compared.
const HOSTNAME: &str = "box";

/// How a host shall be.
#[derive(Debug)]
#[must_use]
pub struct HostBuilder(Record);

impl HostBuilder {
    /// The name for `lab shell` and `lab down`. Without one, hosts are numbered.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.0.name);
        self
    }

    /// What the host calls itself; its domain is `lab.test`.
    pub fn hostname(mut self, hostname: &str) -> Self {
        hostname.clone_into(&mut self.0.hostname);
        self
    }

    /// How far it can reach. Everything, unless said.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.0.reach = reach;
        self
    }

    /// No network but loopback.
    pub fn no_network(self) -> Self {
        self.reach(Reach::Nothing)
    }

    /// No init: `sleep` is the only process.
    pub fn container(mut self) -> Self {
        self.0.init = false;
        self
    }

    /// A file system of its own on `path`, of `size` (`"64k"`).
    pub fn tmpfs(mut self, path: &str, size: &str) -> Self {
        self.0.tmpfs.push((path.to_owned(), size.to_owned()));
        self
    }

    /// `path` cannot be written to.
    pub fn read_only(mut self, path: &str) -> Self {
        self.0.read_only.push(path.to_owned());
        self
    }

    /// May set rules of its kernel for its own network: a firewall can run in it.
    pub fn filters(mut self) -> Self {
        self.0.filters = true;
        self
    }

    /// Starts from another host's disk, of the same suite.
    pub fn from(mut self, snapshot: &Snapshot) -> Self {
        self.0.suite = snapshot.suite();
        self.0.layers = snapshot.layers();
        self
    }

    /// Boots it. Up means that systemd says `running` or `degraded`.
    ///
    /// # Errors
    /// When a base cannot be made or the host does not come up.
    pub fn boot(self) -> Result<Host> {
        ensure!(nix::unistd::geteuid().is_root(), "the lab boots hosts: run it as root");
        mirror::ensure()?;
        let mut record = self.0;
        if record.layers.is_empty() {
            record.layers = base::layers(record.suite)?;
        }
        let (record, owner) = registry::claim(record)?;
        let mut host = Host { record, owner: Some(owner), child: None, runs: AtomicU32::new(0) };
        host.name_it()?;
        Netns::make(host.record.slot, host.record.reach)?;
        host.start()?;
        Ok(host)
    }
}

/// A running (or stopped) host. Removed with all it had when dropped, unless kept.
#[derive(Debug)]
pub struct Host {
    record: Record,
    owner: Option<Lock>,
    child: Option<Child>,
    runs: AtomicU32,
}

impl Host {
    /// Boots a host with nothing special about it.
    ///
    /// # Errors
    /// As [`HostBuilder::boot`].
    pub fn boot(suite: Suite) -> Result<Self> {
        Self::builder(suite).boot()
    }

    /// A container without an init.
    ///
    /// # Errors
    /// As [`HostBuilder::boot`].
    pub fn container(suite: Suite) -> Result<Self> {
        Self::builder(suite).container().boot()
    }

    /// Describes a host to boot.
    pub fn builder(suite: Suite) -> HostBuilder {
        HostBuilder(Record {
            name: String::new(),
            suite,
            hostname: HOSTNAME.to_owned(),
            slot: 0,
            reach: Reach::Open,
            init: true,
            layers: Vec::new(),
            tmpfs: Vec::new(),
            read_only: Vec::new(),
            filters: false,
            kept: std::env::var_os("LAB_KEEP").is_some(),
            leader: None,
        })
    }

    /// A host that another process keeps or owns. Dropping it does nothing.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn open(name: &str) -> Result<Self> {
        // Numbers of runs must not meet those of the owner.
        let runs = AtomicU32::new(std::process::id() * 1000);
        Ok(Self { record: Record::load(name)?, owner: None, child: None, runs })
    }

    /// Its name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// What is known about it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its address on the lab bridge.
    #[must_use]
    pub fn address(&self) -> String {
        self.netns().address()
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> Netns {
        Netns::of(self.record.slot, self.record.reach)
    }

    /// Its merged disk as the machine sees it: everything but /proc, /sys, /dev, /run and extra mounts. Symbolic links in it point
    /// into the machine's own root: use it to look, and follow none.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.record.disk()
    }

    /// What leads into the host: its namespaces while it runs, a chroot while it does not.
    #[must_use]
    pub fn entry(&self) -> Vec<String> {
        let words: &[&str] = &["-m", "-u", "-i", "-n", "-p", "-C", "--"];
        match self.record.leader {
            Some(leader) => {
                let mut entry = vec!["nsenter".to_owned(), "-t".to_owned(), leader.to_string()];
                entry.extend(words.iter().map(|word| (*word).to_owned()));
                entry
            }
            None => vec!["chroot".to_owned(), self.disk().display().to_string()],
        }
    }

    /// A program to run in the host, as root.
    pub fn run<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Run<'_> {
        Run::new(self, args)
    }

    /// Runs a program in the host, as root, and waits for it.
    ///
    /// # Errors
    /// When it cannot be started or outlives the default time limit. Its own failure is not an error.
    pub fn exec<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output> {
        self.run(args).output()
    }

    /// The same as another user of the host.
    ///
    /// # Errors
    /// As [`Host::exec`], and when the host has no such user.
    pub fn exec_as<S: Into<String>>(&self, user: &str, args: impl IntoIterator<Item = S>) -> Result<Output> {
        self.run(args).as_user(user).output()
    }

    /// Runs a shell script in the host and returns its standard output, without trailing white space.
    ///
    /// # Errors
    /// When it does not exit 0.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.exec(["sh", "-euc", script])?.ok()?;
        Ok(output.stdout.trim_end().to_owned())
    }

    /// How long a program takes in the best of twenty runs, with this host before all else that the machine does: other tests wait meanwhile. What others
    /// do on the same processors cannot be helped, and lasts for seconds at a time.
    ///
    /// # Errors
    /// When it does not exit 0.
    pub fn quickest(&self, args: &[&str]) -> Result<Duration> {
        self.schedule("--rr", "1")?;
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let began = Instant::now();
            self.exec(args.iter().copied())?.ok()?;
            best = best.min(began.elapsed());
        }
        self.schedule("--other", "0")?;
        Ok(best)
    }

    /// Gives all that runs in the host a policy and a priority, and what this thread starts. Where that is not allowed, nothing is changed.
    fn schedule(&self, policy: &str, priority: &str) -> Result<()> {
        let own = nix::unistd::gettid().as_raw();
        for pid in HostGroup::of(&self.record.name)?.pids().into_iter().chain([own]) {
            // Some are gone by then.
            tool::succeeds("chrt", ["--all-tasks", policy, "--pid", priority, &pid.to_string()]);
        }
        Ok(())
    }

    /// Writes a file in the host, its folders too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let mode = format!("{mode:o}");
        self.run(["install", "-D", "-m", &mode, "/dev/stdin", path]).stdin(content).output()?.ok().map(drop)
    }

    /// A file's content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        Ok(self.exec(["cat", "--", path])?.ok()?.stdout)
    }

    /// Whether there is something at `path`, a dangling link included.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.exec(["sh", "-c", r#"test -e "$1" || test -L "$1""#, "sh", path])?.success())
    }

    /// Copies the surefoot program into the host, as /usr/local/bin/surefoot.
    ///
    /// # Errors
    /// When it is not built, or cannot be copied.
    pub fn install_binary(&self) -> Result<()> {
        let program = place::surefoot()?;
        let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        self.write("/usr/local/bin/surefoot", bytes, 0o755)
    }

    /// Copies a blueprint of `tests/data/blueprints` into the host, and gives the path of its folder there: `/root/NAME`.
    ///
    /// # Errors
    /// When there is no such blueprint, or it cannot be copied.
    pub fn install_blueprint(&self, name: &str) -> Result<String> {
        let to = format!("/root/{name}");
        for (path, bytes) in product::blueprint(name)? {
            self.write(&format!("{to}/{path}"), bytes, 0o644)?;
        }
        Ok(to)
    }

    /// Writes the blueprint of a product `name` with these inputs and steps into the host, and gives the path of its folder there:
    /// `/root/NAME`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_blueprint(&self, name: &str, rest: &str) -> Result<String> {
        let (folder, title) = (format!("/root/{name}"), format!("The {name}"));
        let head = format!("schema = 1\n\n[product]\nname = \"{name}\"\ntitle = \"{title}\"\nversion = \"1.0\"\n\n");
        self.write(&format!("{folder}/blueprint.toml"), head + rest, 0o644)?;
        Ok(folder)
    }

    /// A number for the files of one run.
    pub(crate) fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// The plug is pulled: every process dies at once, memory file systems are gone. What the programs had written is on the disk,
    /// synced or not: the machine's page cache survives.
    ///
    /// # Errors
    /// When a process survives.
    pub fn power_cut(&mut self) -> Result<()> {
        HostGroup::of(&self.record.name)?.kill()?;
        self.ended()
    }

    /// Shuts the host down in order.
    ///
    /// # Errors
    /// When it has not stopped after a minute.
    pub fn stop(&mut self) -> Result<()> {
        if !self.record.init {
            return self.power_cut();
        }
        if self.record.running() {
            self.exec(["systemctl", "poweroff"])?;
            let gone = HostGroup::of(&self.record.name)?.empty_within(Duration::from_secs(60));
            ensure!(gone, "the host {} has not stopped after a minute", self.record.name);
        }
        self.ended()
    }

    /// Boots a stopped host with the disk it had.
    ///
    /// # Errors
    /// As [`HostBuilder::boot`].
    pub fn boot_again(&mut self) -> Result<()> {
        ensure!(!self.record.running(), "the host {} runs", self.record.name);
        self.start()
    }

    /// Lets the host stay when this value is dropped and when this process ends.
    ///
    /// # Errors
    /// When its record cannot be written.
    pub fn keep(&mut self) -> Result<()> {
        self.record.kept = true;
        self.record.save()
    }

    /// Stops the host and takes its disk as the ground for others.
    ///
    /// # Errors
    /// When it does not stop, or its disk cannot be moved.
    pub fn snapshot(mut self) -> Result<Snapshot> {
        self.stop()?;
        Snapshot::take(&self.record)
    }

    fn start(&mut self) -> Result<()> {
        let (child, leader) = boot::start(&self.record, &self.netns())?;
        self.child = Some(child);
        self.record.leader = Some(leader);
        self.record.save()
    }

    fn ended(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        HostGroup::of(&self.record.name)?.remove();
        self.record.leader = None;
        self.record.save()
    }

    fn name_it(&self) -> Result<()> {
        boot::mount(&self.record)?;
        let (etc, name) = (self.disk().join("etc"), &self.record.hostname);
        let hosts = format!(
            "127.0.0.1\tlocalhost\n127.0.1.1\t{name}.lab.test\t{name}\n\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        );
        for (file, content) in
            [("hostname", format!("{name}\n")), ("hosts", hosts), ("resolv.conf", self.netns().resolver()?)]
        {
            fs::write(etc.join(file), content).with_context(|| format!("cannot write the host's /etc/{file}"))?;
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.owner.is_none() || self.record.kept || !self.record.dir().exists() {
            return;
        }
        if let Err(error) = cleanup::remove_host(&self.record) {
            eprintln!("cannot remove the host {}: {error:#}", self.record.name);
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}
