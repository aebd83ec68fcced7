//! L9: no credentials and no documents in what is kept or printed of a frame.

use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::journal::{How, What};
use dcproxy::wire::{Datatype, Frame, FrameBuilder, Magic, Opaque, Opcode, Status};

use super::book::*;

const KEY: &str = "K3y-0f-user";
const DOCUMENT: &str = "{\"D0cument\":\"0f-user\"}";
const PASSWORD: &str = "\0user\0P4ssw0rd";

/// Opcodes whose key is a user's.
const WITH_USERS_KEYS: [Opcode; 11] = [
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_CACHE_TRANSFER,
    Opcode::SET,
    Opcode::ADD,
    Opcode::GET,
    Opcode::DELETE,
];

/// Fails where `text` has any of the secrets, as text, hex, or numbers.
#[track_caller]
fn has_none(text: &str, secrets: &[&str], of: &str) {
    for secret in secrets {
        let numbers = secret.bytes().take(6).map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let escaped = secret.escape_default().to_string();
        let eight = secret.as_bytes().first_chunk().unwrap();
        let (big, little) = (u64::from_be_bytes(*eight).to_string(), u64::from_le_bytes(*eight).to_string());
        let words = secret.trim_matches('\0').rsplit('\0').next().unwrap();
        for form in [*secret, &escaped, words, &hex::encode(&secret.as_bytes()[..6]), &numbers, &big, &little] {
            assert!(!text.contains(form), "{of}: {form:?} is in {text}");
        }
    }
}

fn negotiated() -> [Negotiated; 2] {
    [Negotiated::default(), Negotiated { collections: true, snappy: true, xattr: true, ..Negotiated::default() }]
}

/// Every form of what is kept or printed of a frame.
fn printed(frame: &[u8]) -> Vec<String> {
    let parsed = Frame::new(frame).unwrap();
    let mut all = vec![format!("{parsed:?}"), format!("{parsed:#?}")];
    for negotiated in negotiated() {
        let head = dcp::head(&parsed, &negotiated, 7);
        all.push(format!("{head:?}"));
        all.push(format!("{head:#?}"));
    }
    for mut play in [Playbook::passive(), Playbook::forwarding()] {
        play.feed(D, frame).whatever();
        play.closed(D, How::Fin).whatever();
        let engine = format!("{:?}", play.engine);
        all.push(format!("{engine} {:?}", play.journal()));
        let messages = play.journal().iter().filter_map(|entry| match &entry.what {
            What::Frame(head) => head.message.as_ref().err().map(ToString::to_string),
            _ => None,
        });
        all.extend(messages);
    }
    all
}

#[test]
fn no_frame_shows_its_key_or_document() {
    for opcode in WITH_USERS_KEYS {
        for extras_len in [0, 4, 8, 13, 16, 18, 20, 21, 31, 48] {
            for datatype in [Datatype::RAW, Datatype::JSON, Datatype(2), Datatype(4), Datatype(0xff)] {
                let built = FrameBuilder::request(opcode).extras(vec![1; extras_len]).datatype(datatype);
                let frame = built.key(KEY).value(DOCUMENT).build();
                for text in printed(&frame) {
                    has_none(&text, &[KEY, DOCUMENT], &format!("{opcode} {extras_len} {datatype:?}"));
                }
            }
        }
    }
}

#[test]
fn no_opcode_shows_a_value_that_it_has_no_business_with() {
    for opcode in (0..=u8::MAX).map(Opcode) {
        // What the server says of itself, and settings, are neither documents nor credentials.
        let says_of_itself =
            [Opcode::DCP_CONTROL, Opcode::DCP_OPEN, Opcode::VERSION, Opcode::STAT, Opcode::SASL_LIST_MECHS]
                .contains(&opcode);
        for magic in [Magic::REQUEST, Magic::RESPONSE, Magic::SERVER_REQUEST, Magic::SERVER_RESPONSE] {
            if says_of_itself && magic != Magic::SERVER_REQUEST && magic != Magic::SERVER_RESPONSE {
                continue;
            }
            for value in [DOCUMENT, PASSWORD] {
                let mut frame = FrameBuilder::request(opcode).value(value).build().to_vec();
                frame[0] = magic.0;
                for text in printed(&frame) {
                    has_none(&text, &[value], &format!("{magic} {opcode}"));
                }
            }
        }
    }
}

#[test]
fn nothing_of_a_login_is_shown_but_its_mechanism() {
    for opcode in [Opcode::SASL_AUTH, Opcode::SASL_STEP] {
        let request = FrameBuilder::request(opcode).key("PLAIN").value(PASSWORD).build();
        let texts = printed(&request);
        assert!(texts.iter().any(|text| text.contains("PLAIN")));
        let challenge = FrameBuilder::response(opcode, Status::AUTH_CONTINUE).opaque(Opaque([1; 4])).value(PASSWORD);
        let json = FrameBuilder::response(opcode, Status::AUTH_ERROR).datatype(Datatype::JSON).value(DOCUMENT);
        for text in [texts, printed(&challenge.build()), printed(&json.build())].concat() {
            has_none(&text, &[PASSWORD, DOCUMENT], "SASL");
        }
    }
}

#[test]
fn the_secrets_would_be_found() {
    for form in [KEY.to_owned(), hex::encode(KEY), format!("{:?}", KEY.as_bytes()), format!("{PASSWORD:?}")] {
        let found = std::panic::catch_unwind(|| has_none(&form, &[KEY, PASSWORD], "planted"));
        assert!(found.is_err(), "{form}");
    }
}
