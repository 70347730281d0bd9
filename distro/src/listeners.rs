//! Who listens on which TCP port, read from /proc.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::Look;

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address; an IPv4 address in IPv6 form is given as the IPv4 address that it is.
    pub addr: IpAddr,
    /// Port.
    pub port: u16,
    /// Numeric id of the user whose socket it is.
    pub uid: u32,
    /// The process that holds it, the oldest where there are several; none where that is hidden (another user's, and we are not
    /// root).
    pub pid: Option<u32>,
    /// Short name of that process, empty where it is hidden.
    pub command: String,
    /// systemd unit of that process, empty where it has none or it is hidden.
    pub unit: String,
}

impl std::fmt::Display for Listener {
    /// `apache2 (pid 812, apache2.service) on [::]:80`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, self.unit.as_str()) {
            (Some(pid), "") => write!(f, "{} (pid {pid})", self.command)?,
            (Some(pid), unit) => write!(f, "{} (pid {pid}, {unit})", self.command)?,
            (None, _) => write!(f, "a process of user id {} that only root can see", self.uid)?,
        }
        write!(f, " on {}", std::net::SocketAddr::new(self.addr, self.port))
    }
}

/// Every listening TCP socket of the network namespace that `root`'s /proc shows. Reads only; what cannot be read is left out.
pub fn listeners(root: &Path) -> Vec<Listener> {
    held(root, |_| true)
}

impl Look<'_> {
    /// Where the server of systemd's unit `unit` has `port` open in another way than at `addresses`; none, where it is as it should be. An
    /// address that stands for all covers those of its sort, and IPv6's may stand for both. Without root whose socket it is may not be known:
    /// then only what is missing is told.
    pub fn misplaced(&self, unit: &str, addresses: &[IpAddr], port: u16) -> Option<String> {
        let root = Path::new("/");
        misplaced(root, self.sockets.get_or_init(|| tables(root)), unit, addresses, port)
    }
}

fn misplaced(root: &Path, sockets: &[Socket], unit: &str, addresses: &[IpAddr], port: u16) -> Option<String> {
    // One that answers listens somewhere: nothing can be seen here.
    if sockets.is_empty() {
        return None;
    }
    let open: Vec<IpAddr> = sockets.iter().filter(|socket| socket.port == port).map(|socket| socket.addr).collect();
    let everywhere = |addresses: &[IpAddr]| addresses.iter().any(IpAddr::is_unspecified);
    let covers = |all: &IpAddr, one: &IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let has = |addresses: &[IpAddr], one: &IpAddr| {
        addresses.contains(one)
            || (one.is_unspecified() && everywhere(addresses))
            || addresses.iter().any(|all| covers(all, one))
    };
    let told = |addresses: Vec<&IpAddr>| -> String {
        let told = addresses.iter().map(|addr| std::net::SocketAddr::new(**addr, port).to_string());
        told.collect::<Vec<_>>().join(" and ")
    };
    // Only where something is not as it should be, every process has to be asked what it holds.
    if open.iter().any(|addr| !has(addresses, addr)) {
        let own = held(root, |socket| socket.port == port && !has(addresses, &socket.addr));
        let own: Vec<&IpAddr> = own.iter().filter(|held| held.unit == unit).map(|held| &held.addr).collect();
        if !own.is_empty() {
            return Some(format!("it listens on {}, too", told(own)));
        }
    }
    let missing: Vec<&IpAddr> = addresses.iter().filter(|addr| !has(&open, addr)).collect();
    (!missing.is_empty()).then(|| format!("it does not listen on {}", told(missing)))
}

fn tables(root: &Path) -> Vec<Socket> {
    let read = |name: &str| std::fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    [read("tcp"), read("tcp6")].iter().flat_map(|table| parse_table(table)).collect()
}

/// The sockets that are wanted, with who holds them.
fn held(root: &Path, wanted: impl Fn(&Socket) -> bool) -> Vec<Listener> {
    let mut sockets = tables(root);
    sockets.retain(|socket| wanted(socket));
    let holders = holders(&root.join("proc"), &sockets);
    // One without a holder may have been closed meanwhile.
    let is_open = |socket: &Socket| holders.contains_key(&socket.inode) || tables(root).contains(socket);
    let sockets: Vec<Socket> = sockets.into_iter().filter(is_open).collect();
    sockets
        .into_iter()
        .map(|socket| {
            let holder = holders.get(&socket.inode).cloned().unwrap_or_default();
            let Holder { pid, command, unit } = holder;
            Listener { addr: socket.addr, port: socket.port, uid: socket.uid, pid, command, unit }
        })
        .collect()
}

/// A listening socket, as the kernel's table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    addr: IpAddr,
    port: u16,
    uid: u32,
    inode: u64,
}

/// The listening sockets of /proc/net/tcp or tcp6 (proc_net_tcp in the kernel's documentation).
fn parse_table(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, uid, _, inode, ..] = words.as_slice() else { return None };
        let (addr, port) = local.split_once(':')?;
        Some(Socket {
            addr: parse_address(addr)?,
            port: u16::from_str_radix(port, 16).ok()?,
            uid: uid.parse().ok()?,
            inode: inode.parse().ok()?,
        })
    })
}

/// An address in the kernel's way: the bytes of the network, as numbers of 32 bits of this machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(at * 8)?);
            }
            let address = Ipv6Addr::from(bytes);
            Some(address.to_ipv4_mapped().map_or(address.into(), IpAddr::from))
        }
        _ => None,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holder {
    pid: Option<u32>,
    command: String,
    unit: String,
}

/// Who holds each socket, by its inode. Of several processes the one with the lowest number, but not PID 1: it opens sockets for
/// others.
fn holders(proc: &Path, sockets: &[Socket]) -> HashMap<u64, Holder> {
    let mut holders = HashMap::new();
    if sockets.is_empty() {
        return holders;
    }
    let mut pids: Vec<u32> = std::fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by_key(|pid| if *pid == 1 { u32::MAX } else { *pid });
    for pid in pids {
        let folder = proc.join(pid.to_string());
        // A process that is gone, or another user's, shows nothing.
        for entry in std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
            let Some(inode) = std::fs::read_link(entry.path()).ok().and_then(|link| parse_inode(link.to_str()?)) else {
                continue;
            };
            if sockets.iter().any(|socket| socket.inode == inode) && !holders.contains_key(&inode) {
                // One that ended between two looks holds nothing any more.
                let Ok(command) = std::fs::read_to_string(folder.join("comm")) else { break };
                let cgroup = std::fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
                holders.insert(
                    inode,
                    Holder { pid: Some(pid), command: command.trim().into(), unit: parse_unit(&cgroup) },
                );
            }
        }
        if holders.len() == sockets.len() {
            break;
        }
    }
    holders
}

/// The inode in `socket:[12345]`.
fn parse_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The systemd unit in /proc/PID/cgroup, empty where there is none. In a container the path begins with what the container is on
/// its host; below a unit there may be groups that the unit made itself.
fn parse_unit(cgroup: &str) -> String {
    let paths = || {
        cgroup.lines().filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            matches!(controllers, "" | "name=systemd").then_some(path)
        })
    };
    paths().find_map(unit_of).unwrap_or_default()
}

fn unit_of(path: &str) -> Option<String> {
    let below = path.rsplit_once("/system.slice/").map_or(path, |(_, below)| below);
    let unit = below.split('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    Some(unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   108        0 4242 1 0000 100 0 0 10 0\n   \
        1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 80 1 0000 100 0 0 10 0\n   \
        2: 0100007F:18EB 0100007F:C350 01 00000000:00000000 00:00000000 00000000   108        0 4243 1 0000 20 4 30 10 -1\n   \
        3: garbage\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue\n   \
        0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000     0        0 443 1 0000 100 0 0 10 0\n   \
        1: 00000000000000000000000001000000:18EB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000   108        0 4244 1 0000 100 0 0 10 0\n   \
        2: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000  1000        0 8080 1 0000 100 0 0 10 0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_of_the_kernels_tables() {
        let found: Vec<(String, u16, u32, u64)> = parse_table(TCP)
            .chain(parse_table(TCP6))
            .map(|socket| (socket.addr.to_string(), socket.port, socket.uid, socket.inode))
            .collect();
        let wanted = [
            ("127.0.0.1", 6379, 108, 4242),
            ("0.0.0.0", 80, 0, 80),
            ("::", 443, 0, 443),
            ("::1", 6379, 108, 4244),
            ("127.0.0.1", 8080, 1000, 8080),
        ];
        assert_eq!(found, wanted.map(|row| (row.0.to_owned(), row.1, row.2, row.3)));
    }

    #[test]
    fn units_of_cgroups() {
        for (cgroup, wanted) in [
            ("0::/system.slice/redis-server.service\n", "redis-server.service"),
            ("0::/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"),
            ("12:pids:/x.service\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "nginx.service"),
            ("0::/machine.slice/box.scope/system.slice/nginx.service/supervisor", "nginx.service"),
            ("0::/system.slice/docker.service/box/system.slice/nginx.service", "nginx.service"),
            ("0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            ("0::/init.scope", "init.scope"),
            ("0::/", ""),
            ("4:memory:/system.slice/nginx.service", ""),
            ("", ""),
            ("garbage", ""),
        ] {
            assert_eq!(parse_unit(cgroup), wanted, "{cgroup}");
        }
    }

    #[test]
    fn links_to_sockets() {
        for (link, wanted) in
            [("socket:[4242]", Some(4242)), ("pipe:[4242]", None), ("/dev/null", None), ("socket:[x]", None)]
        {
            assert_eq!(parse_inode(link), wanted, "{link}");
        }
    }

    fn process(proc: &Path, pid: u32, command: &str, cgroup: &str, inodes: &[u64]) {
        let folder = proc.join(pid.to_string());
        std::fs::create_dir_all(folder.join("fd")).unwrap();
        std::fs::write(folder.join("comm"), format!("{command}\n")).unwrap();
        std::fs::write(folder.join("cgroup"), cgroup).unwrap();
        for (fd, inode) in (3..).zip(inodes) {
            std::os::unix::fs::symlink(format!("socket:[{inode}]"), folder.join(format!("fd/{fd}"))).unwrap();
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn holders_are_named() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        std::fs::create_dir_all(proc.join("net")).unwrap();
        std::fs::write(proc.join("net/tcp"), TCP).unwrap();
        process(&proc, 1, "systemd", "0::/init.scope", &[80, 4242]);
        process(&proc, 300, "nginx", "0::/system.slice/nginx.service", &[80]);
        process(&proc, 31, "redis-server", "0::/", &[9, 4242]);
        process(&proc, 301, "nginx", "0::/system.slice/nginx.service", &[80]);
        // It ends while it is looked at.
        std::fs::create_dir_all(proc.join("29/fd")).unwrap();
        std::os::unix::fs::symlink("socket:[80]", proc.join("29/fd/3")).unwrap();
        let shown: Vec<String> = listeners(root.path()).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["redis-server (pid 31) on 127.0.0.1:6379", "nginx (pid 300, nginx.service) on 0.0.0.0:80"]);
        std::fs::remove_dir_all(proc.join("31")).unwrap();
        std::fs::remove_dir_all(proc.join("1")).unwrap();
        assert_eq!(
            listeners(root.path())[0].to_string(),
            "a process of user id 108 that only root can see on 127.0.0.1:6379"
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn where_a_server_listens_otherwise_than_it_should() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        let misplaced = |addresses: &[&str], port| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            super::misplaced(root.path(), &tables(root.path()), "x.service", &addresses, port).unwrap_or_default()
        };
        assert_eq!(misplaced(&["127.0.0.1"], 6379), "", "nothing can be seen");
        std::fs::create_dir_all(proc.join("net")).unwrap();
        std::fs::write(proc.join("net/tcp"), TCP).unwrap();
        std::fs::write(proc.join("net/tcp6"), TCP6).unwrap();
        process(&proc, 31, "x", "0::/system.slice/x.service", &[4242, 4244, 443]);
        process(&proc, 32, "y", "0::/system.slice/y.service", &[80]);
        for (addresses, port, wanted) in [
            (&["127.0.0.1", "::1"][..], 6379, ""),
            (&["127.0.0.1"], 6379, "it listens on [::1]:6379, too"),
            (&["127.0.0.1", "::1", "10.0.0.1"], 6379, "it does not listen on 10.0.0.1:6379"),
            // Of all addresses of IPv6, which takes those of IPv4 in.
            (&["0.0.0.0"], 443, ""),
            (&["0.0.0.0", "127.0.0.1"], 443, ""),
            (&["127.0.0.1"], 443, "it listens on [::]:443, too"),
            // Somebody else's.
            (&["0.0.0.0"], 80, ""),
            (&["127.0.0.1"], 80, ""),
            (&["::1"], 80, "it does not listen on [::1]:80"),
        ] {
            assert_eq!(misplaced(addresses, port), wanted, "{addresses:?}:{port}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "something to be seen")]
    fn our_own_socket_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = listeners(Path::new("/")).into_iter().find(|found| found.port == port).unwrap();
        assert_eq!(found.pid, Some(std::process::id()));
        assert_eq!(found.addr, IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
