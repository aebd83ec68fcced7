//! The command line as a caller sees it: exit codes, and what goes to which stream.

use assert_cmd::Command;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::cargo_bin("dcproxy").expect("the binary is built");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DCPROXY_")) {
        command.env_remove(name);
    }
    let output = command.args(args).envs(environment.iter().copied()).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[track_caller]
fn assert_one_line(ran: &Ran, code: i32, line: &str) {
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(code), "", format!("{line}\n").as_str()));
}

#[test]
fn help_and_version_are_data() {
    let help = run(&["--help"], &[]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in ["demo", "proxy", "node", "decode", "check", "replay", "scenario"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
        let of_command = run(&[command, "--help"], &[]);
        assert_eq!((of_command.code, of_command.stderr.as_str()), (Some(0), ""), "{command}");
    }
    let version = run(&["--version"], &[]);
    assert_eq!((version.code, version.stdout), (Some(0), format!("dcproxy {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn completions_and_manual_pages_are_data() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell], &[]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(ran.stdout.contains("scenario") && ran.stdout.contains("max-connections"), "{shell}: {}", ran.stdout);
    }
    for (args, title, holds) in [
        (&["man"][..], ".TH dcproxy 1", "dcproxy\\-proxy(1)"),
        (&["man", "proxy"], ".TH dcproxy-proxy 1", "\\-\\-max\\-connections"),
    ] {
        let ran = run(args, &[]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout.contains(title) && ran.stdout.contains(holds), "{}", ran.stdout);
    }
    let unknown = run(&["man", "proxi"], &[]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.starts_with("dcproxy: expected a command (demo, proxy, "), "{}", unknown.stderr);
}

#[test]
fn no_command_is_a_usage_error() {
    let ran = run(&[], &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("Usage: dcproxy [OPTIONS] <COMMAND>"), "{}", ran.stderr);
}

#[test]
fn usage_errors_are_one_line_and_exit_2() {
    assert_one_line(
        &run(&["repla"], &[]),
        2,
        "dcproxy: unrecognized subcommand 'repla'; tip: a similar subcommand exists: 'replay'",
    );
    assert_one_line(
        &run(&["check", "a.pcap", "--repot", "r.json"], &[]),
        2,
        "dcproxy: unexpected argument '--repot' found; tip: a similar argument exists: '--report'",
    );
    assert_one_line(
        &run(&["check", "a.pcap", "--report", "r.html"], &[]),
        2,
        "dcproxy: invalid value 'r.html' for '--report <FILE>': expected - or a file that ends in .json, .xml or .txt, \
         found 'r.html'",
    );
    assert_one_line(
        &run(&["check", "a.pcap", "--era", "5.5"], &[]),
        2,
        "dcproxy: invalid value '5.5' for '--era <ERA>': expected auto, 6.0, 2019-07, 6.5, 6.6, 7.0, master, found '5.5'",
    );
}

#[test]
fn the_environment_is_read_and_flags_beat_it() {
    let wrong = [("DCPROXY_JUDGE", "server")];
    assert_one_line(
        &run(&["check", "a.pcap"], &wrong),
        2,
        "dcproxy: invalid value 'server' for '--judge <END>': expected producer, consumer or both, found 'server'",
    );
    let beaten = run(&["check", "/does/not/exist.pcap", "--judge", "both"], &wrong);
    assert!(!beaten.stderr.contains("server"), "{}", beaten.stderr);
}

/// `docs/QUIRKS.md` is what the code says of its quirks; `DCPROXY_WRITE_DOCS=1` writes it anew.
#[test]
fn the_quirks_are_documented() {
    let mut text = "# Quirks of the embedded node\n\nHistorical bugs, and some made up after them, that `dcproxy node --quirk NAME` has, as \
                    producer or as consumer.\nThe scenario named provokes it, and the finding named shows it; in eras that a quirk does not \
                    need, it shows nothing.\n"
        .to_owned();
    for (role, title) in [(dcproxy::node::Role::Producer, "producer"), (dcproxy::node::Role::Consumer, "consumer")] {
        text += &format!(
            "\n## As {title}\n\n| quirk | does | needs | scenario | caught by | history |\n|---|---|---|---|---|---|\n"
        );
        for quirk in dcproxy::node::Quirk::ALL.into_iter().filter(|quirk| quirk.about().role == role) {
            let dcproxy::node::About { does, needs, scenario, finding, history, .. } = quirk.about();
            text += &format!("| `{quirk}` | {does} | {needs} | `{scenario}` | `{finding}` | {history} |\n");
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/QUIRKS.md");
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).expect("docs/ can be written");
    }
    assert_eq!(std::fs::read_to_string(path).expect("docs/QUIRKS.md is there"), text);
}
