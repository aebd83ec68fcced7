use std::fmt;
#[cfg(target_os = "linux")]
use std::fs;

use super::family::*;
use super::series::Writer;

/// What the system says of this process; families without series where it does not say it.
#[derive(Clone, PartialEq, Debug, Default)]
struct Process {
    cpu: Option<f64>,
    resident: Option<u64>,
    virtually: Option<u64>,
    start: Option<f64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    threads: Option<u64>,
}

pub(super) fn encode(writer: &mut Writer<'_>) -> fmt::Result {
    let Process { cpu, resident, virtually, start, open_fds, max_fds, threads } = Process::read();
    let mut series = writer.family(&CPU)?;
    if let Some(cpu) = cpu {
        series.seconds(&[], cpu)?;
    }
    let mut series = writer.family(&START)?;
    if let Some(start) = start {
        series.gauge(&[], start)?;
    }
    let levels =
        [(&RESIDENT, resident), (&VIRTUAL, virtually), (&OPEN_FDS, open_fds), (&MAX_FDS, max_fds), (&THREADS, threads)];
    for (family, level) in levels {
        let mut series = writer.family(family)?;
        if let Some(level) = level {
            series.level(&[], level)?;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
impl Process {
    fn read() -> Self {
        Self::default()
    }
}

/// What Linux counts processor time and starts in, a second: the same on all processors that this runs on (proc(5), USER_HZ).
#[cfg(target_os = "linux")]
const TICKS: f64 = 100.0;

#[cfg(target_os = "linux")]
impl Process {
    fn read() -> Self {
        use nix::sys::resource::{Resource, getrlimit};

        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (status, stat) = (text("/proc/self/status"), text("/proc/self/stat"));
        Self {
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            // The descriptor of the folder is not one of them.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
            ..Self::of(&status, &stat, &text("/proc/stat"))
        }
    }

    /// What these files say (proc(5)).
    fn of(status: &str, stat: &str, system: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let kib = |name| field(name).map(|kib| kib * 1024);
        // A program's name may hold anything, so what is counted begins behind its last parenthesis, at the third field.
        let fields: Vec<_> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            resident: kib("VmRSS"),
            virtually: kib("VmSize"),
            start: boot.zip(ticks(22)).map(|(boot, after)| boot + after),
            threads: field("Threads"),
            ..Self::default()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 3 0 1000 1 1";
        let read =
            Process::of("Name:\ta\nVmSize:\t  20 kB\nVmRSS:\t  10 kB\nThreads:\t3\n", stat, "cpu 1\nbtime 500\n");
        let told = (read.cpu, read.resident, read.virtually, read.start, read.threads);
        assert_eq!(told, (Some(3.0), Some(10_240), Some(20_480), Some(510.0), Some(3)));
        assert_eq!(Process::of("", "", ""), Process::default());
    }

    #[test]
    fn linux_says_all_of_it() {
        let Process { cpu, resident, virtually, start, open_fds, max_fds, threads } = Process::read();
        assert!(cpu.is_some() && resident.is_some_and(|bytes| bytes > 1 << 20) && virtually > resident);
        assert!(start.is_some_and(|start| start > 1e9) && open_fds.is_some_and(|count| count >= 3));
        assert!(max_fds >= open_fds && threads.is_some_and(|count| count >= 1));
    }
}
