use serde_json::Value;

use super::captured;
use super::decode;
use super::lines;
use super::without;

#[test]
fn a_gap_is_told_with_its_place_and_size_wherever_it_shows() {
    // One packet of the producer's data is lost; the next frame of the same end says so.
    let whole = captured("bridged-every-frame-twice.6.5.0.pcap");
    let mut seen = 0;
    for lost in (60..160).step_by(7) {
        let capture = without(&whole, |number| number == lost);
        let ran = decode(&["-T", "jsonl", "-"], &capture);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let gaps: Vec<Value> = lines(&ran).into_iter().filter(|line| line.get("gap_before").is_some()).collect();
        let told = ran.stderr.lines().filter(|line| line.contains(" gap: ")).count();
        let text = decode(&["-"], &capture);
        let in_text: Vec<&str> = text.stdout.lines().filter(|line| line.starts_with("--- gap: c")).collect();
        assert_eq!(told, in_text.len(), "{}", ran.stderr);
        for line in &in_text {
            assert!(line.contains(" bytes of the ") && line.contains(" missing at offset "), "{line}");
        }
        for gap in &gaps {
            let bytes = gap["gap_before"].as_u64().unwrap();
            let (conn, from) = (&gap["conn"], gap["from"].as_str().unwrap());
            let told = format!("c{conn}: {bytes} bytes of the {from} missing");
            assert!(in_text.iter().any(|line| line.contains(&told)), "{gap} {in_text:?}");
            seen += 1;
        }
        assert_eq!(
            text.stdout.lines().count() - in_text.len(),
            ran.stdout.lines().count(),
            "every line of JSON is a frame"
        );
    }
    assert!(seen > 3, "{seen} gaps");
}

#[test]
fn many_gaps_are_counted() {
    let whole = captured("bridged-every-frame-twice.6.5.0.pcap");
    let ran = decode(&["-T", "jsonl", "-"], &without(&whole, |number| number > 60 && number % 3 == 0));
    let of_one =
        |conn: u32| ran.stderr.lines().filter(|line| line.contains(&format!("connection {conn}: gap:"))).count();
    assert_eq!(of_one(1).max(of_one(2)), 10, "{}", ran.stderr);
    assert!(ran.stderr.contains(" more gaps"), "{}", ran.stderr);
}

#[test]
fn frames_found_by_searching_say_so() {
    // Everything up to the middle of a frame is lost.
    let whole = captured("bridged-plain.6.5.0.pcap");
    let capture = without(&whole, |number| number < 40);
    let ran = decode(&["-T", "jsonl", "-"], &capture);
    let lines = lines(&ran);
    let found = lines.iter().filter(|line| line["resynchronised"] == true).count();
    assert!(found > 0 && found < lines.len(), "{found} of {}", lines.len());
    let filtered = decode(&["-T", "jsonl", "-Y", "frame.resynchronised", "-"], &capture);
    assert_eq!(filtered.stdout.lines().count(), found);
    assert!(lines.iter().any(|line| line.get("gap_before") == Some(&Value::Null)), "a gap of unknown size");
    let text = decode(&["-"], &capture);
    assert_eq!(text.stdout.lines().filter(|line| line.contains(" RESYNC")).count(), found);
}
