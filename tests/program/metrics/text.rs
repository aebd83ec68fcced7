use std::collections::BTreeMap;

/// What a scrape says, in the older text format.
#[derive(Debug)]
pub(super) struct Text {
    /// The type of each metric, by name.
    pub(super) types: BTreeMap<String, String>,
    /// The text that explains it.
    pub(super) helps: BTreeMap<String, String>,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Text {
    pub(super) fn parse(text: &str) -> Self {
        let (mut types, mut helps, mut samples) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                assert!(helps.insert(name.to_owned(), help.to_owned()).is_none(), "twice: {line}");
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                samples.push(sample(line).unwrap_or_else(|| panic!("no sample: {line}")));
            }
        }
        Self { types, helps, samples }
    }

    /// The metric that a series is part of.
    pub(super) fn family<'a>(&'a self, series: &'a str) -> &'a str {
        let of_histogram = ["_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| series.strip_suffix(suffix));
        of_histogram
            .into_iter()
            .find(|name| self.types.get(*name).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(series)
    }

    /// The series of a name that have these labels, among others.
    pub(super) fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        })
    }

    /// Their sum.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_len = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_len);
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (key, value) = inside.split_once("=\"")?;
            let (value, after) = unquoted(value)?;
            assert!(labels.insert(key.to_owned(), value).is_none(), "twice: {line}");
            match after.strip_prefix(',') {
                Some(next) => inside = next,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    Some(Sample { name: name.to_owned(), labels, value: rest.trim().parse().ok()? })
}

/// What stands before the closing quote, and what comes after that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => value.push(other),
        }
    }
}
