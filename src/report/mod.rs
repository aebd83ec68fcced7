//! What a run came to, as plain data (the JSON contract of `docs/REPORT.md`), and one file for each format that
//! it is written in.

mod target;

pub use target::Format;
pub use target::NoSuchFormat;
pub use target::Target;
