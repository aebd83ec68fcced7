use std::io::{BufRead, BufReader, Read};

use super::{Service, pair, relays, written};
use crate::support::{loopback, run};
use tokio::net::TcpStream;

/// One that stays, one that is changed, one that goes and one that comes: nobody is cut off, and whoever dials later meets
/// what the file says now.
#[test]
fn a_reload_changes_what_the_file_changes_and_drops_no_connection() {
    run(async {
        let (old, new) = (loopback().await, loopback().await);
        let (to_old, to_new) = (old.local_addr().expect("bound"), new.local_addr().expect("bound"));
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = |name, upstream| format!("[[proxy]]\nname = '{name}'\nlisten = 0\nupstream = '{upstream}'\n");
        let kept = proxy("kept", to_old);
        let gone = format!("{}report = '-'\n", proxy("gone", to_old));
        let file = written(&directory, &format!("{kept}{}{gone}", proxy("changed", to_old)));
        let mut service = Service::of_file(&file, 3);
        let before = service.doors.clone();
        let mut through_kept = pair(before["kept"], &old).await;
        let mut through_changed = pair(before["changed"], &old).await;
        let mut through_gone = pair(before["gone"], &old).await;

        written(&directory, &format!("{}{kept}{}", proxy("fresh", to_new), proxy("changed", to_new)));
        service.signal("HUP");
        let told = [service.door(), service.door()];
        assert!(told.contains(&("changed".to_owned(), before["changed"])), "{told:?}");

        for through in [&mut through_kept, &mut through_changed, &mut through_gone] {
            assert!(relays(through).await);
        }
        assert!(relays(&mut pair(before["kept"], &old).await).await);
        assert!(relays(&mut pair(before["changed"], &new).await).await);
        assert!(relays(&mut pair(service.at("fresh"), &new).await).await);
        assert!(TcpStream::connect(before["gone"]).await.is_err());

        // Its report is written as soon as its last connection has ended, though the others go on.
        drop(through_gone);
        let mut first = String::new();
        let mut stdout = BufReader::new(service.child.stdout.take().expect("piped"));
        stdout.read_line(&mut first).expect("text");
        assert!(first.starts_with("verdict: PASS"), "{first}");
        assert!(relays(&mut through_kept).await);

        service.signal("TERM");
        assert_eq!(service.end(), (Some(0), String::new()));
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("text");
        assert!(rest.contains("connections: 1"), "{rest}");
    });
}

#[test]
fn a_file_that_cannot_be_used_leaves_everything_as_it_is() {
    run(async {
        let upstream = loopback().await;
        let taken = loopback().await;
        let directory = tempfile::tempdir().expect("a directory");
        let good =
            format!("[[proxy]]\nname = 'a'\nlisten = 0\nupstream = '{}'\n", upstream.local_addr().expect("bound"));
        let file = written(&directory, &good);
        let mut service = Service::of_file(&file, 1);
        let mut through = pair(service.at(""), &upstream).await;
        let free = loopback().await.local_addr().expect("bound");
        let in_use = format!(
            "[[proxy]]\nname = 'b'\nlisten = '{free}'\nupstream = 'a:1'\n[[proxy]]\nname = 'c'\nlisten = {}\nupstream = 'a:1'\n",
            taken.local_addr().expect("bound").port()
        );
        for (text, told) in [
            ("[[proxy]]\nlisten = \n".to_owned(), "nothing is changed: "),
            (format!("{good}upstreem = 'a:1'\n"), "line 5: expected a flag"),
            (in_use, "proxy 'c': cannot listen on "),
        ] {
            written(&directory, &text);
            service.signal("HUP");
            let line = service.line_with("nothing is changed: ");
            assert!(line.contains(told), "{line}");
            assert!(relays(&mut through).await);
            assert!(relays(&mut pair(service.at(""), &upstream).await).await);
            assert!(TcpStream::connect(free).await.is_err(), "what was bound for it is let go of");
        }
        std::fs::remove_file(&file).expect("removed");
        service.signal("HUP");
        service.line_with("nothing is changed: reading ");
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
    });
}

/// The socket that is there was opened otherwise, and another beside it cannot be had: that is said, and nothing is half done.
/// At any free port there is another.
#[test]
fn how_a_listener_is_opened_takes_a_new_start_to_change_or_another_address() {
    run(async {
        let upstream = loopback().await;
        let to = format!("upstream = '{}'\n", upstream.local_addr().expect("bound"));
        let directory = tempfile::tempdir().expect("a directory");
        let free = loopback().await.local_addr().expect("bound");
        let proxy = |listen: &str, how: &str| format!("[[proxy]]\nname = 'a'\nlisten = '{listen}'\n{how}");
        let at = free.to_string();
        let file = written(&directory, &proxy(&at, &to));
        let mut service = Service::of_file(&file, 1);
        let mut through = pair(service.at(""), &upstream).await;
        for how in [format!("{to}reuse-port = true\n"), "transparent = 'redirect'\n".to_owned()] {
            written(&directory, &proxy(&at, &how));
            service.signal("HUP");
            let line = service.line_with("nothing is changed: ");
            let told = format!("proxy 'a': cannot listen on {at}: ");
            assert!(line.contains(&told) && line.contains("(--transparent, --reuse-port) takes a new start"), "{line}");
            assert!(relays(&mut through).await && relays(&mut pair(free, &upstream).await).await);
        }
        written(&directory, &proxy("0", &format!("{to}reuse-port = true\n")));
        service.signal("HUP");
        let (_, elsewhere) = service.door();
        assert_ne!(elsewhere, free);
        assert!(relays(&mut through).await && relays(&mut pair(elsewhere, &upstream).await).await);
        while TcpStream::connect(free).await.is_ok() {}
    });
}

/// The report of the old settings must not be overwritten by that of the new ones.
#[test]
fn a_changed_proxy_writes_its_reports_and_recordings_beside_the_earlier_ones() {
    run(async {
        let upstream = loopback().await;
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let text = |settle| {
            format!(
                "[[proxy]]\nname = 'a'\nlisten = 0\nupstream = '{}'\nsettle = '{settle}'\nreport = '{}'\nrecord = '{}'\n",
                upstream.local_addr().expect("bound"),
                at("r.json").display(),
                at("r.pcapng").display()
            )
        };
        let file = written(&directory, &text("1s"));
        let mut service = Service::of_file(&file, 1);
        let mut through_old = pair(service.at(""), &upstream).await;
        written(&directory, &text("2s"));
        service.signal("HUP");
        service.door();
        let mut through_new = pair(service.at(""), &upstream).await;
        assert!(relays(&mut through_old).await && relays(&mut through_new).await);
        service.signal("TERM");
        let (code, rest) = service.end();
        assert_eq!(code, Some(0), "{rest}");
        let dialler = |through: &(TcpStream, TcpStream)| through.0.local_addr().expect("bound").to_string();
        let (by_old, by_new) = (dialler(&through_old), dialler(&through_new));
        for (file, of, not_of) in [("r.json", &by_old, &by_new), ("r.2.json", &by_new, &by_old)] {
            let text = std::fs::read_to_string(at(file)).expect("written");
            assert!(text.contains(of) && !text.contains(not_of), "{of} {not_of} {text}");
        }
        assert!(at("r.pcapng").exists() && at("r.2.pcapng").exists());
    });
}

/// Whoever hangs up a terminal means to end what runs in it.
#[test]
fn without_a_file_a_hangup_ends_the_proxy() {
    let service = Service::start(&["--listen", "0", "--upstream", "localhost:1"], &[], 1);
    service.signal("HUP");
    assert_eq!(service.end().0, None);
}

/// Whoever trusts the CA of a proxy goes on trusting it, whatever else of that proxy is changed; proxies that write the CA's
/// certificate to one file are of one CA.
#[test]
fn the_throw_away_ca_outlasts_a_reload() {
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    let text = |settle| {
        let proxy = |name| {
            format!("[[proxy]]\nname = '{name}'\nlisten = 0\nupstream = 'a:1'\nsettle = '{settle}'\ntls = 'auto'\n")
        };
        format!("tls-ca-out = '{}'\n{}{}", ca.display(), proxy("a"), proxy("b"))
    };
    let mut service = Service::of_file(&written(&directory, &text("1s")), 2);
    let before = std::fs::read(&ca).expect("written");
    written(&directory, &text("2s"));
    service.signal("HUP");
    service.door();
    assert_eq!(std::fs::read(&ca).expect("written"), before);
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
}

/// The management port of a cluster is a listener as any: it is kept where its proxy stays, and goes with it.
#[test]
fn the_management_port_of_a_cluster_stays_and_goes_with_its_proxy() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let other = "[[proxy]]\nname = 'other'\nlisten = 0\nupstream = '127.0.0.1:1'\n";
        let cluster = |settle| {
            format!(
                "{other}[[proxy]]\nname = 'cluster'\nlisten = 0\nupstream = '127.0.0.1:1'\nsettle = '{settle}'\n\
                 cluster = true\ncluster-management = '0=127.0.0.1:1'\n"
            )
        };
        let file = written(&directory, &cluster("1s"));
        let path = file.to_string_lossy();
        let mut service = Service::start(&["--config", &path], &[("RUST_LOG", "info")], 0);
        let before = service.line_with("management listening on ");
        written(&directory, &cluster("2s"));
        service.signal("HUP");
        assert_eq!(service.line_with("management listening on "), before);
        let at = before.trim_start_matches("management listening on ");
        assert!(TcpStream::connect(at).await.is_ok());
        service.line_with("is read again");
        written(&directory, other);
        service.signal("HUP");
        service.line_with("is read again");
        while TcpStream::connect(at).await.is_ok() {}
    });
}
