use std::fmt;

/// Why a text is no filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What would have been right.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What was probably meant.
    pub tip: Option<String>,
}

impl FilterError {
    /// `at` characters into the filter.
    pub(super) fn new(at: usize, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { column: at.saturating_add(1), expected: expected.into(), found: found.into(), tip: None }
    }

    pub(super) fn or_tip(mut self, tip: Option<String>) -> Self {
        self.tip = tip;
        self
    }
}

/// One line: `filter: column 14: expected a field, found 'dcp.opcod'; did you mean dcp.opcode?`.
impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A regular expression's error may have several lines, and quoted text anything.
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "filter: column {}: expected {}, found {}", self.column, line(&self.expected), line(&self.found))?;
        match &self.tip {
            Some(tip) => write!(f, "; did you mean {}?", line(tip)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FilterError {}
