//! The filter language: `dcp.opcode == prepare && dcp.vbucket in {0..3} && dcp.seqno > 100 || frame.conn == 2`.
//!
//! It looks like Wireshark's display filters, and takes Wireshark's `couchbase.*` names. `docs/FILTER.md` is its reference.
//! A filter is parsed and checked once and then asked of [`Subject`]s, which a recording and a live connection can both
//! provide; what a subject does not know is absent, and no comparison with what is absent holds. Asking reads no more of a
//! frame than the filter needs, and allocates nothing but for text that has to be made first (hex, JSON, documents).

mod error;
mod field;
mod kind;
mod lexer;
mod line;
mod parser;
mod subject;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod wireshark;

use std::fmt;
use std::str::FromStr;

pub use error::FilterError;
pub use field::Field;
pub(crate) use field::nearest;
pub use kind::Kind;
pub use line::json_line;
pub use line::opcode_name;
pub use line::put_number;
pub use line::put_seconds;
pub use subject::Subject;
pub use subject::Value;
pub use subject::orphan_of;

use tree::Node;

/// A filter that was understood.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    node: Node,
}

impl Filter {
    /// Whether it holds for a frame.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.node.matches(subject)
    }

    /// Whether a mutation and all that are alike to it ([`crate::dcp::Mould`]) match, or none of them does; `None` where that
    /// depends on what they differ in.
    pub fn matches_alike(&self, subject: &Subject<'_>) -> Option<bool> {
        self.node.matches_alike(subject)
    }

    /// The fields that it asks for.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        self.node.fields(&mut |field| fields.push(field));
        fields
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Parses a filter: at most 16 KiB of text, nested at most 64 deep.
    ///
    /// # Errors
    /// What was expected at which column, and what was found there.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), node: parser::parse(text)? })
    }
}

/// As it was written.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Filters are the same when they are written the same.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}
