use std::ops::Range;

use annotate_snippets::AnnotationKind;
use annotate_snippets::Level;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;

/// Why a scenario cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScenarioError {
    /// There is none of that name.
    #[error("expected the name of a built-in scenario ({known}) or a file, found '{found}'")]
    Unknown {
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },
    /// The file does not say what a scenario says.
    #[error("line {line}, column {column}: {said}")]
    Malformed {
        /// In which line, from 1.
        line: usize,
        /// At which character of it, from 1.
        column: usize,
        /// Which bytes of the text.
        span: Range<usize>,
        /// What was expected, and what was found.
        said: String,
    },
}

impl ScenarioError {
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let said = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
        Self::in_span(text, error.span().unwrap_or_default(), said)
    }

    pub(super) fn of_json(text: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let at = before + column - 1;
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said).to_owned();
        Self::Malformed { line, column, span: at..at, said }
    }

    /// Something is wrong about a value or a key that stands in the text.
    pub(super) fn at(text: &str, said: &str, expected: &str) -> Self {
        let quoted = ['"', '\''].into_iter().filter_map(|quote| text.rfind(&format!("{quote}{said}{quote}"))).max();
        let span = match (quoted, text.find(said)) {
            (Some(start), _) => start + 1..start + 1 + said.len(),
            (None, Some(start)) if !said.is_empty() => start..start + said.len(),
            (None, _) => 0..0,
        };
        Self::in_span(text, span, expected.to_owned())
    }

    fn in_span(text: &str, span: Range<usize>, said: String) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::Malformed { line, column, span, said }
    }

    /// The same with the place in the file shown, for people: `name` is the file's.
    pub fn shown(&self, name: &str, text: &str) -> String {
        let Self::Malformed { span, said, .. } = self else { return self.to_string() };
        let here = AnnotationKind::Primary.span(span.clone()).label("here");
        let place = Snippet::source(text).path(name).annotation(here);
        Renderer::plain().render(&[Level::ERROR.primary_title(said).element(place)])
    }
}
