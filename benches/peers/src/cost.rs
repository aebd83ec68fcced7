//! What the processes of a relay cost, and whose a connection is, as proc(5) says.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Ticks of a second in /proc: USER_HZ, which is 100 on every machine that runs Linux today.
const TICKS: f64 = 100.0;

/// What the processes of some groups have used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Seconds of computing, the kernel's for them too.
    pub(crate) cpu: f64,
    /// Bytes of memory at their most, each process by itself, summed.
    pub(crate) peak: u64,
    /// Bytes of memory now: what several of them share is counted once (PSS).
    pub(crate) memory: u64,
}

impl Used {
    pub(crate) fn by(groups: &[u32]) -> Self {
        let mut used = Self::default();
        for (process, fields) in processes(groups) {
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
            used.cpu += (number(11) + number(12)) as f64 / TICKS;
            used.peak += kilobytes(process.join("status"), "VmHWM:") * 1024;
            used.memory += kilobytes(process.join("smaps_rollup"), "Pss:") * 1024;
        }
        used
    }
}

/// The processes of those groups, and the fields of their `stat` behind the name.
fn processes(groups: &[u32]) -> Vec<(PathBuf, Vec<String>)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<String> = fields.split(' ').map(str::to_owned).collect();
        let group = fields.get(2)?.parse().ok()?;
        groups.contains(&group).then(|| (process.path(), fields))
    })
    .collect()
}

fn kilobytes(file: PathBuf, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Which of those local addresses are no socket of those groups.
pub(crate) fn strangers(groups: &[u32], addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let mut sockets = BTreeSet::new();
    for (process, _) in processes(groups) {
        for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let link = fs::read_link(fd.path()).unwrap_or_default();
            let inode =
                link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            sockets.extend(inode);
        }
    }
    // By their port on loopback: local address, remote address, state, queues, timer, retransmissions, user, timeout, inode.
    let mut inodes = BTreeMap::new();
    for line in fs::read_to_string("/proc/net/tcp")?.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields.get(1).and_then(|local| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok());
        let inode = fields.get(9).and_then(|inode| inode.parse::<u64>().ok()).filter(|inode| *inode != 0);
        // A port may be used towards several; whoever holds one of them may hold it.
        if let Some((port, inode)) = port.zip(inode) {
            inodes.entry(port).or_insert_with(Vec::new).push(inode);
        }
    }
    let is_held = |address: &SocketAddr| {
        inodes.get(&address.port()).is_some_and(|inodes| inodes.iter().any(|inode| sockets.contains(inode)))
    };
    Ok(addresses.iter().copied().filter(|address| !is_held(address)).collect())
}
