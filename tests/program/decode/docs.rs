use super::decode;

/// `docs/FILTER.md` lists the fields that there are; `DCPROXY_WRITE_DOCS=1` writes the list anew. Its examples run.
#[test]
fn fields_are_documented_and_the_examples_run() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FILTER.md");
    let text = std::fs::read_to_string(path).unwrap();
    let heading = "| field | kind | meaning | Wireshark's names |\n|---|---|---|---|\n";
    let written = text.split(heading).next().unwrap();
    let mut expected = written.to_owned() + heading;
    let fields = decode(&["--fields"], b"");
    assert_eq!((fields.code, fields.stderr.as_str()), (Some(0), ""));
    for line in fields.stdout.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, kind, meaning, aliases] = columns[..] else { panic!("{line}") };
        let aliases: Vec<String> = aliases.split_whitespace().map(|alias| format!("`{alias}`")).collect();
        expected += &format!("| `{name}` | {kind} | {meaning} | {} |\n", aliases.join(" "));
    }
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    } else {
        assert_eq!(text, expected);
    }
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("dcproxy decode ")).collect();
    assert!(examples.len() > 5);
    for example in examples {
        let mut args = Vec::new();
        for (at, part) in example.split('\'').enumerate() {
            if at % 2 == 1 {
                args.push(part.to_owned());
            } else {
                args.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        for arg in args.iter_mut().filter(|arg| arg.starts_with("captures/")) {
            *arg = format!("{}/{arg}", env!("CARGO_MANIFEST_DIR"));
        }
        let ran = decode(&args.iter().map(String::as_str).collect::<Vec<_>>(), b"");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{example}");
        assert!(!ran.stdout.is_empty() || example.contains("5ms"), "{example} shows nothing");
    }
}
