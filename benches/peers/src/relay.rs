//! The relays that are compared, and how each is started before a source.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::cost;
use super::cost::Used;

/// Who relays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Nobody: both ends right against each other.
    Direct,
    Haproxy,
    /// HAProxy with larger buffers, and leave to use splice(2).
    HaproxyTuned,
    Nginx,
    Socat,
    Toxiproxy,
    /// `tokio::io::copy_bidirectional_with_sizes`, 256 KiB each way.
    Tokio,
    /// dcproxy with nothing armed.
    Plain,
    /// dcproxy with a scenario whose trigger never fires.
    Armed,
    /// dcproxy, recording.
    Recording,
    /// Two HAProxies with TLS between them.
    HaproxyTls,
    /// Two dcproxies with TLS between them.
    Tls,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Direct,
        Self::Haproxy,
        Self::HaproxyTuned,
        Self::Nginx,
        Self::Socat,
        Self::Toxiproxy,
        Self::Tokio,
        Self::Plain,
        Self::Armed,
        Self::Recording,
        Self::HaproxyTls,
        Self::Tls,
    ];

    /// As it is asked for.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::HaproxyTuned => "haproxy-tuned",
            Self::Nginx => "nginx",
            Self::Socat => "socat",
            Self::Toxiproxy => "toxiproxy",
            Self::Tokio => "tokio",
            Self::Plain => "dcproxy",
            Self::Armed => "armed",
            Self::Recording => "recording",
            Self::HaproxyTls => "haproxy-tls",
            Self::Tls => "tls",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "HAProxy",
            Self::HaproxyTuned => "HAProxy, 64 KiB buffers, splice",
            Self::Nginx => "nginx stream",
            Self::Socat => "socat",
            Self::Toxiproxy => "toxiproxy",
            Self::Tokio => "tokio copy",
            Self::Plain => "dcproxy",
            Self::Armed => "dcproxy, armed",
            Self::Recording => "dcproxy, recording",
            Self::HaproxyTls => "HAProxy, TLS, HAProxy",
            Self::Tls => "dcproxy, TLS, dcproxy",
        }
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Plain | Self::Armed | Self::Recording | Self::Tls)
    }

    /// Whom it is compared with.
    pub(crate) const fn peer(self) -> Self {
        match self {
            Self::Tls | Self::HaproxyTls => Self::HaproxyTls,
            Self::Direct
            | Self::Haproxy
            | Self::HaproxyTuned
            | Self::Nginx
            | Self::Socat
            | Self::Toxiproxy
            | Self::Tokio
            | Self::Plain
            | Self::Armed
            | Self::Recording => Self::Haproxy,
        }
    }

    /// How to ask for its version, where it is not ours.
    pub(crate) const fn version(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Haproxy | Self::HaproxyTuned | Self::HaproxyTls => Some(["haproxy", "-v"]),
            Self::Nginx => Some(["nginx", "-v"]),
            Self::Socat => Some(["socat", "-V"]),
            Self::Toxiproxy => Some(["toxiproxy-server", "-version"]),
            Self::Direct | Self::Tokio | Self::Plain | Self::Armed | Self::Recording | Self::Tls => None,
        }
    }
}

/// A relay, and which build of ours it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Relay {
    pub(crate) kind: Kind,
    pub(crate) build: usize,
}

/// What the programs are, and where they may write.
pub(crate) struct Place {
    /// Each with its name.
    pub(crate) builds: Vec<(String, PathBuf)>,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn name(&self, relay: Relay) -> String {
        match self.builds.get(relay.build) {
            Some((label, _)) if relay.kind.is_ours() && self.builds.len() > 1 => {
                format!("{} [{label}]", relay.kind.name())
            }
            _ => relay.kind.name().to_owned(),
        }
    }
}

/// A relay that listens. With it ends all that was started for it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    children: Vec<Child>,
    reports: Vec<PathBuf>,
    recording: Option<PathBuf>,
}

/// What dcproxy says at its end.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Of the producers of all connections.
    pub(crate) frames: u64,
    /// "pass", "fail" or "inconclusive".
    pub(crate) verdict: String,
    /// The first of those that are no pass.
    pub(crate) findings: String,
}

impl Running {
    pub(crate) fn start(relay: Relay, upstream: SocketAddr, place: &Place) -> io::Result<Self> {
        let mut running = Self { address: upstream, children: Vec::new(), reports: Vec::new(), recording: None };
        let dir = &place.dir;
        match relay.kind {
            Kind::Direct => return Ok(running),
            Kind::Haproxy => {
                running.address = free()?;
                running.haproxy(dir, CONNECTIONS, &format!("bind {}", running.address), &upstream.to_string())?;
            }
            Kind::HaproxyTuned => {
                running.address = free()?;
                let bind = format!("option splice-auto\n  bind {}", running.address);
                running.haproxy(dir, "maxconn 4000\n  tune.bufsize 65536", &bind, &upstream.to_string())?;
            }
            Kind::HaproxyTls => {
                let (middle, pem) = (free()?, certificate(dir)?);
                running.address = free()?;
                let bind = format!("bind {middle} ssl crt {}", pem.display());
                running.haproxy(dir, CONNECTIONS, &bind, &upstream.to_string())?;
                // The outer one would try the inner one again after a second only.
                listens(middle)?;
                let bind = format!("bind {}", running.address);
                running.haproxy(dir, CONNECTIONS, &bind, &format!("{middle} ssl verify none"))?;
            }
            Kind::Nginx => {
                running.address = free()?;
                let (address, dir) = (running.address, dir.display());
                let config = format!(
                    "load_module {NGINX_STREAM}; daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid {dir}/nginx.pid; error_log /dev/null;\n\
                     events {{ worker_connections 16384; }}\n\
                     stream {{ server {{ listen {address} backlog=4096; proxy_pass {upstream}; }} }}\n"
                );
                let path = place.dir.join("nginx.conf");
                fs::write(&path, config)?;
                running.spawn(Command::new("nginx").arg("-p").arg(&place.dir).arg("-c").arg(&path))?;
            }
            Kind::Socat => {
                running.address = free()?;
                let port = running.address.port();
                let listen = format!("TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=4096");
                let mut command = Command::new("socat");
                command.arg("-b262144").arg(listen).arg(format!("TCP4:{upstream},nodelay"));
                running.spawn(&mut command)?;
            }
            Kind::Toxiproxy => {
                let api = free()?;
                running.address = free()?;
                let proxies = format!(
                    r#"[{{"name":"bench","listen":"{}","upstream":"{upstream}","enabled":true}}]"#,
                    running.address
                );
                let path = dir.join("toxiproxy.json");
                fs::write(&path, proxies)?;
                let mut command = Command::new("toxiproxy-server");
                command.arg("-host").arg("127.0.0.1").arg("-port").arg(api.port().to_string());
                running.spawn(command.arg("-config").arg(path).env("LOG_LEVEL", "error"))?;
            }
            Kind::Tokio => {
                running.address = free()?;
                let ends = [running.address.to_string(), upstream.to_string()];
                running.spawn(Command::new(std::env::current_exe()?).arg("--copy").args(ends))?;
            }
            Kind::Plain => return running.dcproxy(relay, place, upstream, &[]),
            Kind::Armed => {
                let path = dir.join("never.toml");
                fs::write(&path, NEVER)?;
                return running.dcproxy(
                    relay,
                    place,
                    upstream,
                    &["--era", "7.0", "--scenario", &path.display().to_string()],
                );
            }
            Kind::Recording => {
                // On a disk, as users have it.
                let path = dir.join("recording.pcapng");
                running.recording = Some(path.clone());
                return running.dcproxy(relay, place, upstream, &["--record", &path.display().to_string()]);
            }
            Kind::Tls => {
                let pem = certificate(dir)?.display().to_string();
                let inner = running.dcproxy(relay, place, upstream, &["--tls", &pem, "--tls-key", &pem])?;
                let middle = inner.address;
                return inner.dcproxy(relay, place, middle, &["--upstream-tls", "--upstream-insecure"]);
            }
        }
        listens(running.address)?;
        Ok(running)
    }

    fn spawn(&mut self, command: &mut Command) -> io::Result<&mut Child> {
        // A group of its own, whose members are counted together.
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        self.children.push(child);
        Ok(self.children.last_mut().expect("it was pushed"))
    }

    fn haproxy(&mut self, dir: &Path, global: &str, bind: &str, server: &str) -> io::Result<()> {
        let config = format!(
            "global\n  {global}\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
             listen bench\n  {bind}\n  server source {server}\n"
        );
        let path = dir.join(format!("haproxy-{}.cfg", self.children.len()));
        fs::write(&path, config)?;
        self.spawn(Command::new("haproxy").arg("-db").arg("-q").arg("-f").arg(path))?;
        Ok(())
    }

    fn dcproxy(mut self, relay: Relay, place: &Place, upstream: SocketAddr, flags: &[&str]) -> io::Result<Self> {
        let report = place.dir.join(format!("report-{}.json", self.children.len()));
        fs::remove_file(&report).ok();
        let mut command = Command::new(&place.builds[relay.build].1);
        command.args(["proxy", "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string(), "--settle", "10ms"]);
        command.args(flags).arg("--report").arg(&report).stderr(Stdio::piped());
        self.reports.push(report);
        let child = self.spawn(&mut command)?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said = String::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said += &line;
            line.split_once("listening on ")?.1.trim().parse().ok()
        });
        thread::spawn(move || lines.for_each(drop));
        self.address =
            address.ok_or_else(|| io::Error::other(format!("dcproxy has not said where it listens: {said}")))?;
        Ok(self)
    }

    fn groups(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// What it has used so far, all its processes together.
    pub(crate) fn used(&self) -> Used {
        Used::by(&self.groups())
    }

    /// Nobody else may have dialled the source: those are no connections of this relay.
    pub(crate) fn strangers(&self, peers: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        if self.children.is_empty() { Ok(Vec::new()) } else { cost::strangers(&self.groups(), peers) }
    }

    /// Ends it; what those say that are ours, and how many frames a recording has lost, each at two edges.
    pub(crate) fn stop(mut self) -> io::Result<(Vec<Report>, Option<u64>)> {
        let mut reports = Vec::new();
        if !self.reports.is_empty() {
            // The outer one first.
            for child in self.children.iter_mut().rev() {
                Command::new("kill").arg("-INT").arg(child.id().to_string()).status()?;
                child.wait()?;
            }
        }
        for path in &self.reports {
            let report: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
            let connections = report["connections"].as_array().map_or(&[][..], Vec::as_slice);
            reports.push(Report {
                frames: connections.iter().filter_map(|connection| connection["frames"]["producer"].as_u64()).sum(),
                verdict: report["verdict"].as_str().unwrap_or_default().to_owned(),
                findings: connections.iter().flat_map(findings).take(3).collect::<Vec<_>>().join("; "),
            });
        }
        let lost = self.recording.as_deref().map(lost).transpose()?;
        Ok((reports, lost))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The whole group: some of them fork.
            let group = format!("-{}", child.id());
            Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().ok();
            child.wait().ok();
        }
        if let Some(path) = &self.recording {
            fs::remove_file(path).ok();
        }
    }
}

/// How many frames a recording says that it lacks, in the comments of its last two blocks: those of the two edges.
fn lost(recording: &Path) -> io::Result<u64> {
    let mut file = fs::File::open(recording)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(1024)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let comments: Vec<&str> = tail.split("dcproxy: ").skip(1).collect();
    if comments.is_empty() {
        return Err(io::Error::other("expected a recording to tell at its end what it lacks"));
    }
    let lost = |comment: &&str| comment.split_once(" frames (").and_then(|(count, _)| count.parse::<u64>().ok());
    Ok(comments.iter().filter_map(lost).sum())
}

fn findings(connection: &serde_json::Value) -> Vec<String> {
    let all = connection["findings"].as_array().map_or(&[][..], Vec::as_slice);
    let those = all.iter().filter(|finding| finding["verdict"] != "pass");
    those
        .map(|finding| format!("{}: expected {}, found {}", finding["id"], finding["expected"], finding["actual"]))
        .collect()
}

/// Waits until somebody there lets this in.
fn listens(at: SocketAddr) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect(at) {
        if Instant::now() > until {
            return Err(io::Error::other(format!("it does not listen: {error}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A port that nobody has now. Those who cannot choose one for themselves are given it.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// A key and a certificate for 127.0.0.1, in one file.
fn certificate(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("bench.pem");
    if !path.exists() {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
        fs::write(&path, made.cert.pem() + &made.signing_key.serialize_pem())?;
    }
    Ok(path)
}

/// It takes two open files for each, and twice as many more for pipes where it may splice.
const CONNECTIONS: &str = "maxconn 9000";

/// Where Debian has it.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Armed, and never firing: no frame is of that vbucket.
const NEVER: &str = r#"
name = "never"
about = "Looks at every frame, and does nothing."
[[steps]]
name = "never"
when = { filter = "dcp.vbucket == 4711", within = "1h" }
do = { drop = {} }
"#;
