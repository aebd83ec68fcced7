use std::path::PathBuf;
use std::str::FromStr;

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object (`docs/report.schema.json`).
    Json,
    /// JUnit XML, as CI systems read it.
    Junit,
}

/// Where a report goes, and how it is written: the extension says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `-`: text on stdout.
    Stdout,
    /// A file.
    File {
        /// Where.
        path: PathBuf,
        /// How.
        format: Format,
    },
}

/// The extension is no format's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected - or a file that ends in .json, .xml or .txt, found '{0}'")]
pub struct NoSuchFormat(pub String);

impl FromStr for Target {
    type Err = NoSuchFormat;

    fn from_str(text: &str) -> Result<Self, NoSuchFormat> {
        if text == "-" {
            return Ok(Self::Stdout);
        }
        let path = PathBuf::from(text);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let format = match extension.as_deref() {
            Some("json") => Format::Json,
            Some("xml") => Format::Junit,
            Some("txt") => Format::Text,
            _ => return Err(NoSuchFormat(text.to_owned())),
        };
        Ok(Self::File { path, format })
    }
}

impl Target {
    /// How it is written.
    pub const fn format(&self) -> Format {
        match self {
            Self::Stdout => Format::Text,
            Self::File { format, .. } => *format,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_the_format() {
        for (text, format) in [
            ("r.json", Format::Json),
            ("out/R.JSON", Format::Json),
            ("junit.xml", Format::Junit),
            ("a.b.txt", Format::Text),
        ] {
            let expected = Target::File { path: PathBuf::from(text), format };
            assert_eq!(text.parse(), Ok(expected));
        }
        assert_eq!("-".parse(), Ok(Target::Stdout));
        assert_eq!(Target::Stdout.format(), Format::Text);
    }

    #[test]
    fn other_extensions_are_refused() {
        for text in ["", "report", "r.html", "json", ".json", "r.json.gz", "dir/"] {
            assert_eq!(text.parse::<Target>(), Err(NoSuchFormat(text.to_owned())));
        }
    }
}
