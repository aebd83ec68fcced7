//! `--fields`: all that filters and `-e` know.

use std::io;
use std::io::Write;

use crate::filter::Field;

/// Prints a line for each field: name, kind, meaning, Wireshark's names, with tabs between.
pub(super) fn print(mut to: impl Write) -> io::Result<()> {
    for field in Field::all() {
        let several = if field.is_list() { ", several" } else { "" };
        let aliases = field.aliases().collect::<Vec<_>>().join(" ");
        writeln!(to, "{field}\t{}{several}\t{}\t{aliases}", field.kind().name(), field.meaning())?;
    }
    to.flush()
}
