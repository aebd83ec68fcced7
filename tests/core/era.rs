//! The era tables against the transcription and against what was measured on real servers.
#![allow(clippy::unwrap_used)]

use dcproxy::era::Action;
use dcproxy::era::Cell;
use dcproxy::era::Era;
use dcproxy::era::Situation;
use dcproxy::era::consumer_answer;
use dcproxy::era::cut_status;
use dcproxy::era::knows;
use dcproxy::era::producer_action;
use dcproxy::era::producer_cell;
use dcproxy::wire::Opcode;
use dcproxy::wire::Status;

const TABLES: &str = include_str!("../data/handle_response_tables.json");

const DATA: [Opcode; 8] = [
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_SYSTEM_EVENT,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_STREAM_END,
];

#[test]
fn every_cell_of_the_transcription() {
    let eras: serde_json::Map<String, serde_json::Value> = serde_json::from_str(TABLES).unwrap();
    let expected: [(&str, Era, &[bool]); 8] = [
        ("A_le_6.0", Era::V6_0, &[false, true]),
        ("B_dev_2019-07", Era::V2019_07, &[false, true]),
        ("D_6.5", Era::V6_5, &[false, true]),
        ("F_6.6", Era::V6_6, &[false, true]),
        ("G_7.0-8.0_v7off", Era::V7_0, &[false]),
        ("G_7.0-8.0_v7on", Era::V7_0, &[true]),
        ("H_master_v7off", Era::Master, &[false]),
        ("H_master_v7on", Era::Master, &[true]),
    ];
    assert_eq!(eras.keys().collect::<Vec<_>>(), expected.map(|(name, _, _)| name));
    let mut cells = 0;
    for (name, era, v7) in expected {
        for (row, columns) in eras[name].as_object().unwrap() {
            for (column, action) in columns.as_object().unwrap() {
                for opcode in opcodes(row) {
                    for status in statuses(era, column) {
                        for &v7 in v7 {
                            let own_noop = row.ends_with("own opaque");
                            let found = producer_action(era, v7, opcode, status, own_noop);
                            let place = format!("{name}: {row} ({opcode}), {column} ({status}), v7 {v7}");
                            assert_eq!(letters(found), action.as_str().unwrap(), "{place}");
                            let cell = match action.as_str().unwrap() {
                                "ignore" | "ack" => Cell::Keep,
                                "close" | "throw" | "cancel" => Cell::MayClose,
                                "disc" if era <= Era::V2019_07 => Cell::MayClose,
                                "disc" => Cell::MustClose,
                                other => panic!("{place}: {other}"),
                            };
                            assert_eq!(producer_cell(era, v7, opcode, status, own_noop), cell, "{place}");
                            cells += 1;
                        }
                    }
                }
            }
        }
    }
    // 8 tables, 18 rows (one of 8 opcodes, one of 2), 12 columns: a lower bound that shows that none was skipped.
    assert!(cells > 8 * 26 * 12, "{cells}");
}

/// real-servers.md §1: a column per group of statuses, a letter per server: 2019-07 ("after") and 6.5.0. The third
/// server, "before", is of no era of ours.
#[test]
fn what_was_measured_on_2019_07_and_6_5_0() {
    let columns: [&[u16]; 7] =
        [&[0x00], &[0x01], &[0x02], &[0x04], &[0x07], &[0x0d, 0x0e, 0x49], &[0x81, 0x82, 0x83, 0x86, 0x88, 0x8d]];
    let rows: [(&[u8], [&str; 7]); 6] = [
        (&[0x56], ["KKK", "KKK", "KKK", "KKK", "KKK", "KKK", "KKK"]),
        (&[0x57, 0x58, 0x59, 0x55], ["KKK", "KKK", "KKK", "KKK", "KKK", "KCC", "KKK"]),
        (&[0x5f], ["CKK", "CKK", "CKK", "CKK", "CKK", "CCC", "CKK"]),
        (&[0x60, 0x62, 0x63], ["CKK", "CKC", "CKK", "CKC", "CKK", "CCC", "CKK"]),
        (&[0x5b], ["KKK", "KKK", "KKK", "KKK", "KKK", "KKK", "KKK"]),
        (&[0x5c, 0x61, 0x50, 0x51, 0x52, 0x53, 0x54, 0x5d, 0x5e], ["CCC"; 7]),
    ];
    for (opcodes, row) in rows {
        for (&opcode, (statuses, measured)) in
            opcodes.iter().flat_map(|o| std::iter::repeat(o).zip(columns.iter().zip(row)))
        {
            for (era, letter) in [(Era::V2019_07, &measured[1..2]), (Era::V6_5, &measured[2..3])] {
                for &status in *statuses {
                    held(era, false, opcode, status, false, letter);
                }
            }
        }
    }
    for era in [Era::V2019_07, Era::V6_5] {
        for status in [0x00, 0x01, 0x04, 0x0d] {
            held(era, false, 0x5c, status, true, "K");
        }
        for status in [0x0a, 0x0b, 0x0d, 0x0e, 0x49, 0x7f] {
            assert!(!knows(era, Status(status)));
            for opcode in DATA {
                held(era, false, opcode.0, status, false, "C");
            }
        }
    }
}

/// real-servers.md §5: a letter per status, v7 codes off and on.
#[test]
fn what_was_measured_on_7_0_5() {
    let statuses = [0x00, 0x01, 0x02, 0x04, 0x07, 0x0a, 0x0b, 0x22, 0x81, 0x82, 0x86, 0x88, 0x7f];
    let all = ["KKKKKKKKKKKKK"; 2];
    let none = ["CCCCCCCCCCCCC"; 2];
    let rows: [(&[u8], bool, [&str; 2]); 7] = [
        (&[0x57, 0x58, 0x59, 0x5f, 0x60], false, ["KKKCKKKCCCCCC", "KCCCKKKCCCCCC"]),
        (&[0x62, 0x63], false, ["KCKCKKKCCCCCC", "KCCCKKKCCCCCC"]),
        (&[0x55], false, ["KKKCKKKCCCCCC", "KKCCKKKCCCCCC"]),
        (&[0x56, 0x5b, 0x5c, 0x0a], true, all),
        (&[0x5c], false, ["CKKCKKKCCCCCC", "CCCCKKKCCCCCC"]),
        (&[0x5d, 0x5e, 0x53, 0x50, 0x51, 0x52, 0x54, 0xfe], false, ["KKKCKKKCCCCCC", "KCCCKKKCCCCCC"]),
        (&[0x61, 0x64, 0x65, 0x66, 0x01], false, none),
    ];
    for (opcodes, own_noop, letters) in rows {
        for (v7, letters) in [false, true].into_iter().zip(letters) {
            for &opcode in opcodes {
                for (i, status) in statuses.into_iter().enumerate() {
                    held(Era::V7_0, v7, opcode, status, own_noop, &letters[i..=i]);
                }
            }
        }
    }
}

type AnswerRow = ((Era, bool), &'static [u8], [Option<u16>; 3]);

/// orphaned-responses.md §2, with real-servers.md §3 and §5: columns no stream, other opaque, dead stream.
#[test]
fn what_consumers_answer() {
    let none = None::<u16>;
    let (enoent, exists) = (Some(0x01), Some(0x02));
    let stream: &[u8] = &[0x57, 0x60, 0x62, 0x63, 0x5f, 0x56, 0x5b];
    let removals: &[u8] = &[0x58, 0x59];
    let old = (Era::V6_0, false);
    let dev = (Era::V2019_07, false);
    let mut rows: Vec<AnswerRow> = vec![
        (old, stream, [enoent, enoent, enoent]),
        (old, removals, [enoent, enoent, enoent]),
        (old, &[0x55], [enoent, enoent, enoent]),
        (dev, stream, [enoent, enoent, none]),
        (dev, removals, [enoent, enoent, none]),
        (dev, &[0x55], [enoent, none, none]),
        ((Era::Master, false), &[0x66, 0x67], [enoent, exists, none]),
        ((Era::Master, true), &[0x66, 0x67], [Some(0x0a), Some(0x0b), none]),
    ];
    for era in [Era::V6_5, Era::V6_6] {
        // v7 codes do not exist yet, so that they change nothing.
        for v7 in [false, true] {
            rows.push(((era, v7), stream, [enoent, exists, none]));
            rows.push(((era, v7), removals, [enoent, enoent, none]));
            rows.push(((era, v7), &[0x55], [enoent, none, none]));
        }
    }
    for era in [Era::V7_0, Era::Master] {
        for (v7, no_stream, mismatch) in [(false, 0x01, 0x02), (true, 0x0a, 0x0b)] {
            rows.push(((era, v7), stream, [Some(no_stream), Some(mismatch), none]));
            rows.push(((era, v7), removals, [Some(no_stream), Some(mismatch), none]));
            rows.push(((era, v7), &[0x55], [Some(no_stream), none, none]));
            rows.push(((era, v7), &[0x52], [Some(no_stream), Some(0x00), Some(0x00)]));
        }
    }
    for era in Era::ALL {
        rows.push(((era, false), &[0x5c], [Some(0x00); 3]));
        rows.push(((era, true), &[0x64, 0x65], [Some(0x81); 3]));
    }
    for ((era, v7), opcodes, answers) in rows {
        for &opcode in opcodes {
            let situations = [Situation::NoStream, Situation::OtherOpaque, Situation::DeadStream];
            for (situation, expected) in situations.into_iter().zip(answers) {
                let found = consumer_answer(era, v7, situation, Opcode(opcode));
                assert_eq!(found, expected.map(Status), "{era}, v7 {v7}, {situation:?}, {opcode:#x}");
            }
        }
    }
    assert_eq!(consumer_answer(Era::V7_0, false, Situation::NoStream, Opcode::GET), None);
}

#[test]
fn cut_answers_with_what_must_be_survived() {
    let answers = |era, v7| DATA.map(|opcode| cut_status(era, v7, opcode).status.0);
    assert_eq!(answers(Era::V2019_07, false), [0x01; 8]);
    assert_eq!(answers(Era::V6_5, false), [0x01, 0x01, 0x01, 0x01, 0x02, 0x02, 0x02, 0x01]);
    assert_eq!(answers(Era::V6_6, false), [0x01, 0x01, 0x01, 0x01, 0x02, 0x02, 0x02, 0x01]);
    assert_eq!(answers(Era::V7_0, false), [0x01, 0x01, 0x01, 0x01, 0x01, 0x0a, 0x0a, 0x01]);
    assert_eq!(answers(Era::V7_0, true), [0x0a; 8]);
    assert_eq!(answers(Era::Master, true), [0x0a; 8]);
    for era in Era::ALL {
        for v7 in [false, true] {
            for opcode in DATA {
                let cut = cut_status(era, v7, opcode);
                assert_eq!(Some(cut.own), consumer_answer(era, v7, Situation::NoStream, opcode));
                assert_eq!(cut.cell, producer_cell(era, v7, opcode, cut.status, true));
                let nothing_else = era == Era::V6_0 && matches!(opcode.0, 0x5f | 0x60 | 0x62 | 0x63);
                assert_eq!(cut.cell == Cell::Keep, !nothing_else, "{era} {v7} {opcode}");
                if nothing_else {
                    assert_eq!((cut.status, cut.cell), (Status::KEY_ENOENT, Cell::MayClose));
                }
            }
        }
    }
}

fn held(era: Era, v7: bool, opcode: u8, status: u16, own_noop: bool, letter: &str) {
    let action = producer_action(era, v7, Opcode(opcode), Status(status), own_noop);
    let kept = matches!(action, Action::Ignore | Action::Ack | Action::Cancel);
    assert_eq!(kept, letter == "K", "{era}, v7 {v7}, {opcode:#x}, {status:#x}: {action:?}");
}

const fn letters(action: Action) -> &'static str {
    match action {
        Action::Ignore => "ignore",
        Action::Disc => "disc",
        Action::Close => "close",
        Action::Throw => "throw",
        Action::Ack => "ack",
        Action::Cancel => "cancel",
    }
}

/// The opcodes of a row of the JSON, by the names or numbers in its title.
fn opcodes(row: &str) -> Vec<Opcode> {
    if row.starts_with("OPEN/") {
        let names = ["DCP_OPEN", "ADD_STREAM", "CLOSE_STREAM", "STREAM_REQ", "DCP_GET_FAILOVER_LOG", "BUFFER_ACK"];
        let mut opcodes: Vec<Opcode> = names.iter().map(|name| name.parse().unwrap()).collect();
        opcodes.extend([Opcode::DCP_CONTROL, Opcode::GET_ERROR_MAP]);
        assert_eq!(row.split('/').count(), opcodes.len());
        return opcodes;
    }
    let numbers: Vec<Opcode> =
        row.split([' ', ',']).filter(|word| word.starts_with("0x")).map(|word| word.parse().unwrap()).collect();
    assert!(!numbers.is_empty(), "{row}");
    numbers
}

/// The statuses of a column of the JSON.
fn statuses(era: Era, column: &str) -> Vec<Status> {
    match column {
        "any other" => [0x03, 0x05, 0x24, 0x81, 0x83, 0x88, 0x8d].map(Status).to_vec(),
        "unknown to the release" => match era {
            Era::V2019_07 | Era::V6_5 => [0x0c, 0x0d, 0x0e, 0x49, 0x7f, 0x50].map(Status).to_vec(),
            Era::V6_0 | Era::V6_6 | Era::V7_0 | Era::Master => [0x49, 0x7f].map(Status).to_vec(),
        },
        name => vec![name.split(' ').next().unwrap().parse().unwrap()],
    }
}
