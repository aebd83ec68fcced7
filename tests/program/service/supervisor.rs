use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::{Service, written};
use crate::support::PATIENCE;

/// A socket as systemd gives to its services.
struct Supervisor {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Supervisor {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { socket, directory }
    }

    fn at(&self) -> String {
        self.directory.path().join("notify").to_string_lossy().into_owned()
    }

    /// The next that it is told.
    fn told(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("told in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

fn proxies(directory: &tempfile::TempDir, text: &str) -> String {
    written(directory, text).to_string_lossy().into_owned()
}

#[test]
fn the_supervisor_hears_of_readiness_reloads_and_the_end() {
    let supervisor = Supervisor::start();
    let proxy = "[[proxy]]\nlisten = 0\nupstream = 'localhost:1'\n";
    let file = proxies(&supervisor.directory, proxy);
    let service = Service::start(&["--config", &file], &[("NOTIFY_SOCKET", &supervisor.at())], 1);
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=one proxy serves\n");

    proxies(&supervisor.directory, &format!("{proxy}name = 'a'\n{proxy}name = 'b'\n"));
    service.signal("HUP");
    let reloading = supervisor.told();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(since.trim().parse::<u64>().is_ok_and(|since| since > 0), "{reloading}");
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=2 proxies serve\n");

    proxies(&supervisor.directory, "nonsense");
    service.signal("HUP");
    assert!(supervisor.told().starts_with("RELOADING=1\n"));
    let failed = supervisor.told();
    assert!(failed.starts_with("READY=1\nSTATUS=the last reload failed: "), "{failed}");

    service.signal("TERM");
    let stopping = supervisor.told();
    // No drain, 2 s to settle, 8 s more for what is under way, 15 s to write.
    assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\n");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_watchdog_hears_a_heartbeat() {
    let supervisor = Supervisor::start();
    let environment = [("NOTIFY_SOCKET", &*supervisor.at()), ("WATCHDOG_USEC", "20000")];
    let _service = Service::start(&["--listen", "0", "--upstream", "localhost:1"], &environment, 1);
    assert!(supervisor.told().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(supervisor.told(), "WATCHDOG=1\n");
    }
}

/// The unit that comes along is one that systemd understands, where it is there to be asked.
#[test]
fn the_unit_is_sound() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/dcproxy.service");
    let text = std::fs::read_to_string(&unit).expect("it is there");
    // systemd looks whether the program is there.
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("dcproxy.service");
    std::fs::write(&copy, text.replace("/usr/bin/dcproxy", env!("CARGO_BIN_EXE_dcproxy"))).expect("written");
    match std::process::Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("dcproxy.service:"), "{said}");
        }
        Err(error) => eprintln!("SKIPPED: expected systemd-analyze to verify contrib/dcproxy.service, found: {error}"),
    }
}
