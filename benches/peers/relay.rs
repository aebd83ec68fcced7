//! The relays that are compared: how each is started before a source, and what it costs.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
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

/// Who relays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Relay {
    /// Nobody: both ends right against each other.
    Direct,
    Haproxy,
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
    /// Two dcproxies with TLS between them.
    Tls,
    /// Two HAProxies with TLS between them.
    HaproxyTls,
}

impl Relay {
    pub const ALL: [Self; 11] = [
        Self::Direct,
        Self::Haproxy,
        Self::Nginx,
        Self::Socat,
        Self::Toxiproxy,
        Self::Tokio,
        Self::Plain,
        Self::Armed,
        Self::Recording,
        Self::Tls,
        Self::HaproxyTls,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx stream",
            Self::Socat => "socat",
            Self::Toxiproxy => "toxiproxy",
            Self::Tokio => "tokio copy",
            Self::Plain => "dcproxy",
            Self::Armed => "dcproxy, armed",
            Self::Recording => "dcproxy, recording",
            Self::Tls => "dcproxy, TLS",
            Self::HaproxyTls => "HAProxy, TLS",
        }
    }

    /// Whether its own count of frames is to be compared.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Plain | Self::Armed | Self::Recording)
    }

    /// The program that it needs beside ours, if any.
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Haproxy | Self::HaproxyTls => Some("haproxy"),
            Self::Nginx => Some("nginx"),
            Self::Socat => Some("socat"),
            Self::Toxiproxy => Some("toxiproxy-server"),
            Self::Direct | Self::Tokio | Self::Plain | Self::Armed | Self::Recording | Self::Tls => None,
        }
    }
}

/// What the programs are, and where they may write.
pub struct Place {
    pub dcproxy: PathBuf,
    pub toxiproxy: PathBuf,
    pub dir: PathBuf,
}

/// A relay that listens.
pub struct Running {
    pub address: SocketAddr,
    children: Vec<Child>,
    report: Option<PathBuf>,
}

/// What a relay has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Seconds of computing.
    pub cpu: f64,
    /// Memory that is resident, in bytes.
    pub memory: u64,
}

impl Running {
    pub fn start(relay: Relay, upstream: SocketAddr, place: &Place) -> io::Result<Self> {
        let mut running = Self { address: upstream, children: Vec::new(), report: None };
        let dir = &place.dir;
        match relay {
            Relay::Direct => return Ok(running),
            Relay::Haproxy => {
                running.address = free()?;
                running.haproxy(dir, "plain", &format!("bind {}", running.address), &format!("{upstream}"))?;
            }
            Relay::HaproxyTls => {
                let pem = certificate(dir)?;
                let middle = free()?;
                running.address = free()?;
                let bind = format!("bind {middle} ssl crt {}", pem.display());
                running.haproxy(dir, "inner", &bind, &format!("{upstream}"))?;
                let bind = format!("bind {}", running.address);
                running.haproxy(dir, "outer", &bind, &format!("{middle} ssl verify none"))?;
            }
            Relay::Nginx => {
                running.address = free()?;
                let (address, dir) = (running.address, dir.display());
                let config = format!(
                    "daemon off; worker_processes auto; worker_rlimit_nofile 65536; pid {dir}/nginx.pid; error_log /dev/null;\n\
                     include /etc/nginx/modules-enabled/*.conf;\n\
                     events {{ worker_connections 16384; }}\n\
                     stream {{ server {{ listen {address}; proxy_pass {upstream}; }} }}\n"
                );
                let path = place.dir.join("nginx.conf");
                fs::write(&path, config)?;
                running.spawn(Command::new("nginx").arg("-p").arg(&place.dir).arg("-c").arg(&path))?;
            }
            Relay::Socat => {
                running.address = free()?;
                let listen = format!("TCP4-LISTEN:{},bind=127.0.0.1,fork,reuseaddr,nodelay", running.address.port());
                running
                    .spawn(Command::new("socat").arg("-b262144").arg(listen).arg(format!("TCP4:{upstream},nodelay")))?;
            }
            Relay::Toxiproxy => {
                let api = free()?;
                running.address = free()?;
                let proxies = format!(
                    r#"[{{"name":"bench","listen":"{}","upstream":"{upstream}","enabled":true}}]"#,
                    running.address
                );
                let path = dir.join("toxiproxy.json");
                fs::write(&path, proxies)?;
                let mut command = Command::new(&place.toxiproxy);
                command.arg("-host").arg("127.0.0.1").arg("-port").arg(api.port().to_string());
                running.spawn(command.arg("-config").arg(path).env("LOG_LEVEL", "error"))?;
            }
            Relay::Tokio => {
                running.address = free()?;
                let this = std::env::current_exe()?;
                running.spawn(Command::new(this).args([
                    "--copy",
                    &running.address.to_string(),
                    &upstream.to_string(),
                ]))?;
            }
            Relay::Plain => running.dcproxy(place, upstream, &[], true)?,
            Relay::Armed => {
                let path = dir.join("never.toml");
                fs::write(&path, NEVER)?;
                running.dcproxy(place, upstream, &["--era", "7.0", "--scenario", &path.display().to_string()], true)?;
            }
            Relay::Recording => {
                let path = dir.join("run.pcapng");
                fs::remove_file(&path).ok();
                running.dcproxy(place, upstream, &["--record", &path.display().to_string()], true)?;
            }
            Relay::Tls => {
                let pem = certificate(dir)?.display().to_string();
                running.dcproxy(place, upstream, &["--tls-cert", &pem, "--tls-key", &pem], false)?;
                let middle = running.address;
                running.dcproxy(place, middle, &["--upstream-tls", "--upstream-insecure"], false)?;
            }
        }
        running.wait()?;
        Ok(running)
    }

    fn spawn(&mut self, command: &mut Command) -> io::Result<&mut Child> {
        // A group of its own, whose members are counted together.
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        self.children.push(child);
        Ok(self.children.last_mut().expect("it was pushed"))
    }

    fn haproxy(&mut self, dir: &Path, name: &str, bind: &str, server: &str) -> io::Result<()> {
        let config = format!(
            "global\n  maxconn 20000\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
             listen bench\n  {bind}\n  server source {server}\n"
        );
        let path = dir.join(format!("haproxy-{name}.cfg"));
        fs::write(&path, config)?;
        self.spawn(Command::new("haproxy").arg("-db").arg("-q").arg("-f").arg(path).stderr(Stdio::null()))?;
        Ok(())
    }

    fn dcproxy(&mut self, place: &Place, upstream: SocketAddr, flags: &[&str], counts: bool) -> io::Result<()> {
        let mut command = Command::new(&place.dcproxy);
        command.args(["proxy", "--listen", "127.0.0.1:0", "--upstream", &upstream.to_string()]).args(flags);
        if counts {
            let report = place.dir.join("report.json");
            fs::remove_file(&report).ok();
            command.arg("--report").arg(&report);
            self.report = Some(report);
        }
        let child = self.spawn(command.stderr(Stdio::piped()))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = lines.by_ref().find_map(|line| line.ok()?.strip_prefix("listening on ")?.parse().ok());
        thread::spawn(move || lines.for_each(drop));
        self.address = address.ok_or_else(|| io::Error::other("dcproxy has not said where it listens"))?;
        Ok(())
    }

    /// Waits until it lets somebody in.
    fn wait(&self) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = TcpStream::connect(self.address) {
            if Instant::now() > until {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it has used so far, all its processes together.
    pub fn used(&self) -> Used {
        let mut used = Used::default();
        let groups: Vec<u32> = self.children.iter().map(Child::id).collect();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            // Fields of proc(5), behind the name in brackets.
            let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = fields.split(' ').collect();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
            if !groups.contains(&(number(2) as u32)) {
                continue;
            }
            used.cpu += (number(11) + number(12) + number(13) + number(14)) as f64 / 100.0;
            used.memory += number(21) * 4096;
        }
        used
    }

    /// Ends it; of ours, the frames that the producers of all its connections sent, as its report says.
    pub fn stop(mut self) -> io::Result<Option<u64>> {
        let Some(report) = self.report.take() else { return Ok(None) };
        for child in &mut self.children {
            Command::new("kill").arg("-INT").arg(child.id().to_string()).status()?;
            child.wait()?;
        }
        let report: serde_json::Value = serde_json::from_slice(&fs::read(report)?)?;
        let connections = report["connections"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(Some(connections.iter().filter_map(|connection| connection["frames"]["producer"].as_u64()).sum()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The whole group: some of them fork.
            Command::new("kill")
                .arg("-KILL")
                .arg("--")
                .arg(format!("-{}", child.id()))
                .stderr(Stdio::null())
                .status()
                .ok();
            child.wait().ok();
        }
    }
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

/// Armed, and never firing: no frame is of that vbucket.
const NEVER: &str = r#"
name = "never"
about = "Looks at every frame, and does nothing."
[[steps]]
name = "never"
when = { filter = "dcp.vbucket == 1023", within = "1h" }
do = { drop = {} }
"#;
