use std::path::Path;

use super::{Service, pair, relays, written};
use crate::program::command;
use crate::support::{loopback, run};

/// What it says, in one line, of a file that it refuses; nothing is served then.
#[track_caller]
fn refused(text: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(&directory, text);
    refused_file(&file, &[]).replace(&*file.to_string_lossy(), "FILE")
}

#[track_caller]
fn refused_file(file: &Path, args: &[&str]) -> String {
    let output = command(&["proxy", "--config"]).arg(file).args(args).output().expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn each_proxy_of_a_file_leads_to_its_own_upstream_and_the_worst_is_the_exit_code() {
    run(async {
        let (first, second) = (loopback().await, loopback().await);
        let directory = tempfile::tempdir().expect("a directory");
        let (one, two) = (directory.path().join("1.json"), directory.path().join("2.json"));
        let text = format!(
            "once = true\n\n[[proxy]]\nname = 'one'\nlisten = 0\nupstream = '{}'\nreport = ['{}']\n\n\
             [[proxy]]\nname = 'two'\nlisten = '127.0.0.1:0'\nupstream = '{}'\nreport = '{}'\nonce = false\n\
             scenario = ['orphaned-responses']\nseed = 7\n",
            first.local_addr().expect("bound"),
            one.display(),
            second.local_addr().expect("bound"),
            two.display(),
        );
        let mut service = Service::of_file(&written(&directory, &text), 2);
        let mut to_first = pair(service.at("one"), &first).await;
        let mut to_second = pair(service.at("two"), &second).await;
        assert!(relays(&mut to_first).await && relays(&mut to_second).await);
        drop((to_first, to_second));
        // The first serves one connection, by the default of the file; the second goes on until it is told to stop.
        service.signal("TERM");
        let line = service.line_with("two: verdict: ");
        assert!(line.contains("inconclusive"), "{line}");
        assert_eq!(service.end().0, Some(3));
        let report = |path| std::fs::read_to_string(path).expect("written");
        assert!(report(one).contains("\"scenarios\": []"));
        assert!(report(two).contains("orphaned-responses"));
    });
}

#[test]
fn one_proxy_of_a_file_says_where_it_listens_as_one_without_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[[proxy]]\nlisten = 0\nupstream = 'localhost:1'\n";
    let service = Service::of_file(&written(&directory, text), 1);
    assert!(service.doors.contains_key(""), "{:?}", service.doors);
    service.signal("INT");
    assert_eq!(service.end().0, Some(0));
}

/// Each source leads to an upstream of its own: that which counts is the one that is dialled, for every proxy of the file.
#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    run(async {
        let (file, environment, flag) = (loopback().await, loopback().await, loopback().await);
        let at = |upstream: &tokio::net::TcpListener| upstream.local_addr().expect("bound").to_string();
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "upstream = 'localhost:1'\n[[proxy]]\nname = 'a'\nlisten = 0\nupstream = '{0}'\n\
             [[proxy]]\nname = 'b'\nlisten = 0\nupstream = '{0}'\n",
            at(&file)
        );
        let path = written(&directory, &text).to_string_lossy().into_owned();
        let (env, arg) = ([("DCPROXY_UPSTREAM", &*at(&environment))], at(&flag));
        let from_environment = [("DCPROXY_CONFIG", &*path), env[0]];
        let file_alone = ["--config", &path];
        for (args, env, upstream) in [
            (&file_alone[..], &[][..], &file),
            (&file_alone, &env, &environment),
            (&["--config", &path, "--upstream", &arg], &env, &flag),
            (&[], &from_environment, &environment),
        ] {
            let service = Service::start(args, env, 2);
            for name in ["a", "b"] {
                assert!(relays(&mut pair(service.at(name), upstream).await).await, "{args:?} {env:?}");
            }
        }
    });
}

#[test]
fn a_file_that_is_not_understood_is_refused_in_one_line_that_says_where() {
    let proxy = "[[proxy]]\nlisten = 0\nupstream = 'localhost:1'\n";
    for (text, told) in [
        (String::new(), "line 1: expected at least one table [[proxy]], found none"),
        ("[[proxy]\n".to_owned(), "line 1: "),
        (
            format!("{proxy}upstreem = 'a:1'\n"),
            "line 4: expected a flag of dcproxy proxy without its dashes, found 'upstreem'; the nearest is 'upstream'",
        ),
        (
            format!("onse = true\n{proxy}"),
            "line 1: expected a flag of dcproxy proxy without its dashes, found 'onse'; the nearest is 'once'",
        ),
        (format!("{proxy}config = 'x'\n"), "line 4: expected a flag"),
        (
            format!("{proxy}name = 'a'\nera = '5.5'\n"),
            "line 5: proxy 'a': invalid value '5.5' for '--era <ERA>': expected auto, 6.0, 2019-07, 6.5, 6.6, 7.0, master, \
             found '5.5'",
        ),
        (
            "\n[[proxy]]\nlisten = 0\n".to_owned(),
            "line 2: a proxy: the following required arguments were not provided: --upstream <HOST:PORT>",
        ),
        (format!("{proxy}snaplen = 200\n"), "the following required arguments were not provided: --record <FILE>"),
        (format!("{proxy}once = 'yes'\n"), "line 4: expected once = true or false, found a string"),
        (
            format!("{proxy}seed = {{ a = 1 }}\n"),
            "line 4: expected text, a number, true, false or a list of them, found a table",
        ),
        (format!("{proxy}name = ''\n"), "line 4: expected name = "),
        (
            format!("{proxy}max-connections = 0\n"),
            "line 4: a proxy: invalid value '0' for '--max-connections <N>': expected a number from 1 on",
        ),
        (format!("{proxy}max-dialling = 1\nmax_dialling = 2\n"), "expected each key once, found "),
        (
            format!("{proxy}{proxy}"),
            "line 4: expected proxies that differ, found '127.0.0.1:0' and '127.0.0.1:0' that both are called so: give each",
        ),
        (
            "upstream = 'a:1'\n[[proxy]]\nname = 'a'\nlisten = 5\n[[proxy]]\nname = 'b'\nlisten = ':5'\n".to_owned(),
            "line 5: expected proxies that differ, found 'a' and 'b' that both listen on 127.0.0.1:5",
        ),
        (
            format!("report = '/tmp/../tmp/r.json'\n{proxy}name = 'a'\n{proxy}name = 'b'\nreport = '/tmp/r.json'\n"),
            "line 6: expected proxies that differ, found 'a' and 'b' that both write /tmp/r.json",
        ),
        ("proxy = 3\n".to_owned(), "line 1: expected tables [[proxy]], found a integer"),
        (format!("api = 'x'\n{proxy}"), "line 1: expected HOST:PORT"),
    ] {
        let said = refused(&text);
        assert!(said.starts_with("dcproxy: FILE: ") && said.contains(told), "{text}\n{said}");
    }
    let said = refused_file(Path::new("/does/not/exist.toml"), &[]);
    assert!(said.starts_with("dcproxy: reading /does/not/exist.toml: "), "{said}");
}

#[test]
fn a_listener_that_cannot_be_had_ends_all_before_anything_is_served() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let text =
        format!("upstream = 'a:1'\n[[proxy]]\nname = 'free'\nlisten = 0\n[[proxy]]\nname = 'taken'\nlisten = {port}\n");
    let said = refused(&text);
    let told = format!("dcproxy: FILE: proxy 'taken': cannot listen on 127.0.0.1:{port}: ");
    assert!(said.starts_with(&told), "{said}");
}

/// A flag that needs another one finds it in the file.
#[test]
fn a_flag_may_need_what_only_the_file_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let record = directory.path().join("r.pcapng");
    let text = format!("[[proxy]]\nlisten = 0\nupstream = 'localhost:1'\nrecord = '{}'\n", record.display());
    let file = written(&directory, &text).to_string_lossy().into_owned();
    let service = Service::start(&["--config", &file, "--snaplen", "200"], &[], 1);
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
    assert!(record.exists());
    let output =
        command(&["proxy", "--listen", "0", "--upstream", "a:1", "--snaplen", "200"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("required arguments were not provided: --record <FILE>"), "{stderr}");
}

/// What comes along is what this program understands.
#[test]
fn the_example_can_be_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/two-proxies.toml");
    let mut started = command(&["proxy", "--config", file, "--listen", "0", "--api", "0"]);
    started.current_dir(directory.path());
    let service = Service::of(&mut started, 2);
    assert_eq!(service.doors.keys().collect::<Vec<_>>(), ["tried", "watched"]);
    service.signal("TERM");
    let (code, rest) = service.end();
    assert_eq!(code, Some(3), "{rest}");
    for report in ["watched.json", "tried.xml", "tried.txt"] {
        assert!(directory.path().join(report).exists(), "{report}");
    }
}
