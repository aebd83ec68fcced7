use std::io::BufRead;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use anyhow::anyhow;

use super::input;
use super::printer::Printer;
use crate::dcp;
use crate::dcp::Malformed;
use crate::dcp::Negotiated;
use crate::filter::Subject;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::MAX_FRAME_LEN;

/// The longest line that is believed: any frame, with room for spaces.
const MAX_LINE: u64 = 4 * MAX_FRAME_LEN as u64;

/// Prints a file of frames in hex: a line in, a line out. What is no frame, or more or less than one, is malformed.
pub(super) fn print(path: &Path, negotiated: &Negotiated, printer: &mut Printer) -> anyhow::Result<()> {
    let mut lines = input::open(path)?;
    let name = path.display();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let len =
            lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).with_context(|| format!("reading {name}"))?;
        if len == 0 || printer.is_done() {
            break;
        }
        line.retain(|byte| !byte.is_ascii_whitespace());
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let bytes = hex::decode(&line)
            .map_err(|error| anyhow!("{name}: line {number}: expected a frame in hex, found: {error}"))?;
        frame(&bytes, negotiated, printer);
    }
    Ok(())
}

fn frame(bytes: &[u8], negotiated: &Negotiated, printer: &mut Printer) {
    let number = Some(printer.number());
    let frame = match Frame::new(bytes) {
        Ok(frame) => frame,
        Err(error) => {
            let header = Header::parse_slice(bytes).ok();
            let reason = error.to_string();
            let (header, malformed) = (header.as_ref(), Some(reason.as_str()));
            printer.no_frame(&Subject { number, header, malformed, ..Subject::default() }, bytes);
            return;
        }
    };
    let len = frame.header().frame_len();
    let message = if bytes.len() as u64 == len {
        dcp::decode(&frame, negotiated)
    } else {
        Err(Malformed(format!("expected {len} bytes, found {}", bytes.len())))
    };
    printer.frame(&Subject {
        number,
        header: Some(frame.header()),
        frame: Some(&frame),
        message: message.as_ref().ok(),
        malformed: message.as_ref().err().map(|reason| reason.0.as_str()),
        negotiated: *negotiated,
        ..Subject::default()
    });
}
