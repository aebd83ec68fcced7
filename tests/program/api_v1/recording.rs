use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Bench;
use crate::support::{loopback, run};

const RECORDING: &str = "/dcp/v1/proxies/p/recording";

/// What the program says of a file, what it complains of, and its exit code.
fn said(args: &[&str], file: &Path) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_dcproxy")).args(args).arg(file).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_recording_that_begins_in_the_middle_is_read_and_not_judged_wrongly() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Bench::start(Some(folder.path())).await;
        bench.consume();
        bench.streaming().await;
        assert_eq!(bench.get(RECORDING).await, json!({ "file": null }));
        let (status, answer) = bench.ask("PUT", RECORDING, r#"{"file": "late.pcapng"}"#).await;
        assert_eq!((status, &answer["file"]), (201, &json!("late.pcapng")));
        assert_eq!(bench.get("/dcp/v1/proxies/p").await["recording"], "late.pcapng");
        assert_eq!(bench.ask("PUT", RECORDING, r#"{"file": "other.pcapng"}"#).await.0, 409);
        // Some that comes while it records, from its beginning.
        let frames = |one: &Value| one["edges"]["upstream"]["frames"]["from"].as_u64().expect("a number");
        let path = "/dcp/v1/proxies/p/connections/1";
        let before = frames(&bench.get(path).await);
        bench.until(path, |one| frames(one) > before + 200).await;
        bench.consume();
        bench.until("/dcp/v1/proxies/p/connections/2?limit=1", |one| one["streams"]["total"] == 4).await;
        let (status, told) = bench.ask("DELETE", RECORDING, "").await;
        assert_eq!(status, 200, "{told}");
        assert!(told["frames"].as_u64() > Some(400) && told["lost_frames"] == 0 && told["error"].is_null(), "{told}");
        assert_eq!(bench.ask("DELETE", RECORDING, "").await.0, 404);
        // The traffic goes on, and another may begin; none is written over.
        assert_eq!(bench.ask("PUT", RECORDING, r#"{"file": "late.pcapng"}"#).await.0, 409);
        assert_eq!(bench.ask("PUT", RECORDING, r#"{"file": "two.pcapng", "redact": "keys,values"}"#).await.0, 201);
        let before = frames(&bench.get(path).await);
        bench.until(path, |one| frames(one) > before + 100).await;
        let report = bench.end().await;
        assert!(report.recording.is_some_and(|recording| recording.frames > 100), "it ends with the run");
        // The second connection of the first is there from its beginning; of the others nothing can be judged.
        for (file, verdict) in [("late.pcapng", 0), ("two.pcapng", 3)] {
            let file = folder.path().join(file);
            let (lines, complaints, code) = said(&["decode", "-T", "jsonl"], &file);
            assert_eq!(code, Some(0), "{complaints}");
            // What was before is missing, and nothing else.
            assert!(complaints.lines().all(|line| line.contains("missing at offset 0")), "{complaints}");
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert_eq!(lines.iter().find(|line| line.get("malformed").is_some()), None, "every frame is read");
            let mut begun = BTreeSet::new();
            for line in &lines {
                let is_first = begun.insert((line["conn"].as_u64(), line["from"].as_str().map(str::to_owned)));
                assert!(is_first || line.get("gap_before").is_none(), "{line}");
            }
            let keys = lines
                .iter()
                .filter(|line| line["opcode"] == "DCP_MUTATION")
                .filter_map(|line| line.get("collection_id"));
            assert!(keys.clone().count() > 50, "what had been agreed on is known");
            assert!(keys.clone().all(Value::is_u64));
            let (told, complaints, code) = said(&["check", "--report", "-"], &file);
            assert!(!told.contains("FAIL") && code == Some(verdict), "{code:?} {told} {complaints}");
        }
    });
}

#[test]
fn files_are_made_in_the_folder_of_the_user_alone() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let (status, error) = bench.ask("PUT", RECORDING, r#"{"file": "a.pcapng"}"#).await;
        assert!(
            status == 403 && error["error"].as_str().is_some_and(|error| error.contains("--api-recordings")),
            "{error}"
        );
        bench.end().await;
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).expect("made");
        let bench = Bench::start(Some(&inside)).await;
        for bad in [
            r#"{"file": "../a.pcapng"}"#,
            r#"{"file": "/tmp/a.pcapng"}"#,
            r#"{"file": "a.txt"}"#,
            r#"{"file": "a.pcapng", "snaplen": 1}"#,
            r#"{"file": "a.pcapng", "redact": "all"}"#,
            r#"{"file": "a.pcapng", "rotate": "much"}"#,
            r#"{"file": "a.pcapng", "records": 1}"#,
            "{}",
            "",
        ] {
            let (status, error) = bench.ask("PUT", RECORDING, bad).await;
            assert_eq!(status, 400, "{bad}: {error}");
        }
        let left = |path: &Path| std::fs::read_dir(path).expect("a folder").count();
        assert_eq!((left(folder.path()), left(&inside)), (1, 0));
        bench.end().await;
    });
}
