use std::fmt;

use crate::fault::CloseAt;
use crate::fault::CloseStreamSpec;
use crate::fault::FaultSpec;
use crate::scenario::ConsumerSettings;
use crate::scenario::MESSAGES;
use crate::scenario::Scenario;
use crate::scenario::Step;
use crate::scenario::When;
use crate::verdict::Judge;
use crate::wire::Opcode;
use crate::wire::Status;

/// The messages whose orphaned responses are tried: the eight of MB-35287, and the marker.
pub const PROBED: [Opcode; 9] = {
    let [mutation, deletion, expiration, prepare, commit, abort, system_event, stream_end] = MESSAGES;
    let marker = Opcode::DCP_SNAPSHOT_MARKER;
    [marker, mutation, deletion, expiration, prepare, commit, abort, system_event, stream_end]
};

/// The statuses that are tried: those of real-servers.md §5, and one that no release knows.
pub const STATUSES: [Status; 13] = [
    Status::SUCCESS,
    Status::KEY_ENOENT,
    Status::KEY_EEXISTS,
    Status::EINVAL,
    Status::NOT_MY_VBUCKET,
    Status::DCP_STREAM_NOT_FOUND,
    Status::OPAQUE_NO_MATCH,
    Status::ERANGE,
    Status::UNKNOWN_COMMAND,
    Status::ENOMEM,
    Status::ETMPFAIL,
    Status(0x88),
    Status(0x7f),
];

/// One thing that a producer is put through, on a connection of its own.
#[derive(Clone, PartialEq, Debug)]
pub enum Case {
    /// A stream is closed, and messages of one type are answered with one status.
    Orphan {
        /// Which messages.
        message: Opcode,
        /// With which status.
        status: Status,
    },
    /// A scenario of the catalogue.
    Scenario(Box<Scenario>),
}

impl Case {
    /// Every case of these messages and statuses, then the scenarios, in their order.
    pub fn all(messages: &[Opcode], statuses: &[Status], scenarios: Vec<Scenario>) -> Vec<Self> {
        let cells =
            messages.iter().flat_map(|&message| statuses.iter().map(move |&status| Self::Orphan { message, status }));
        cells.chain(scenarios.into_iter().map(|scenario| Self::Scenario(Box::new(scenario)))).collect()
    }

    /// Whether it leaves the producer otherwise than it was, such as without a vbucket.
    pub(super) fn is_destructive(&self) -> bool {
        match self {
            Self::Scenario(scenario) => scenario.is_destructive(),
            Self::Orphan { .. } => false,
        }
    }

    /// What is done to the connection.
    pub fn scenario(&self) -> Scenario {
        match self {
            Self::Scenario(scenario) => (**scenario).clone(),
            Self::Orphan { message, status } => {
                let cut = CloseStreamSpec { at: CloseAt::Cut, messages: vec![*message], status: Some(*status) };
                let step = Step {
                    name: "cut".to_owned(),
                    when: When::default(),
                    faults: vec![FaultSpec::CloseStream(cut)],
                    expect: Vec::new(),
                };
                Scenario {
                    name: self.to_string(),
                    about: "Closes a stream in the middle of a transfer and answers what was in flight.".to_owned(),
                    seed: None,
                    era: None,
                    eras: Vec::new(),
                    destructive: false,
                    judge: None,
                    messages: vec![*message],
                    settle: None,
                    covers: Vec::new(),
                    quirks: Vec::new(),
                    consumer: ConsumerSettings::default(),
                    steps: vec![step],
                }
            }
        }
    }
}

/// The id by which a case is selected and told of: `orphan/prepare/KeyEnoent`, or the scenario's name.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan { message, status } => write!(f, "orphan/{}/{status}", short(*message)),
            Self::Scenario(scenario) => f.write_str(&scenario.name),
        }
    }
}

/// A message as ids and tables name it: `prepare`.
pub fn short(message: Opcode) -> String {
    message.short_name().map_or_else(|| message.to_string(), str::to_ascii_lowercase)
}

/// Whether a scenario is about a producer, and needs no consumer but the tool's own: some act on a consumer node.
pub fn suits(scenario: &Scenario) -> bool {
    let needs_node = |fault: &FaultSpec| {
        matches!(fault, FaultSpec::CloseStream(close)
            if matches!(close.at, CloseAt::End | CloseAt::Consumer | CloseAt::Both))
    };
    scenario.judge != Some(Judge::Consumer) && !scenario.steps.iter().flat_map(|step| &step.faults).any(needs_node)
}

/// A pattern that selects no case.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected the id of a case, or a pattern such as 'orphan/prepare/*' ({example} ...), found '{found}'")]
pub struct NoSuchCase {
    /// The pattern.
    pub found: String,
    /// Some ids that there are.
    pub example: String,
}

/// The cases whose ids one of the patterns matches, in their order; all of them where there are no patterns. Cases that
/// leave the producer otherwise than it was must be named.
///
/// # Errors
/// A pattern that matches none.
pub fn select(cases: Vec<Case>, patterns: &[String]) -> Result<Vec<Case>, NoSuchCase> {
    if let Some(found) = patterns.iter().find(|pattern| !cases.iter().any(|case| matches(pattern, &case.to_string()))) {
        let ids = cases.iter().step_by(cases.len().div_ceil(4).max(1)).map(ToString::to_string);
        return Err(NoSuchCase { found: found.clone(), example: ids.collect::<Vec<_>>().join(", ") });
    }
    let named = |case: &Case| patterns.iter().any(|it| it.eq_ignore_ascii_case(&case.to_string()));
    let met = |case: &Case| patterns.is_empty() || patterns.iter().any(|it| matches(it, &case.to_string()));
    let wanted = |case: &Case| if case.is_destructive() { named(case) } else { met(case) };
    Ok(cases.into_iter().filter(wanted).collect())
}

/// Whether a pattern matches all of a text, whatever the case of letters; `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Case> {
        Case::all(&PROBED, &STATUSES, vec![Scenario::named("close-at-producer").unwrap()])
    }

    fn selected(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        select(all(), &patterns).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ids_name_message_and_status_or_the_scenario() {
        let all = selected(&[]);
        assert_eq!(all.len(), 9 * 13 + 1);
        assert_eq!(all[0], "orphan/snapshot_marker/Success");
        assert!(all.contains(&"orphan/prepare/KeyEnoent".to_owned()), "{all:?}");
        assert!(all.contains(&"orphan/stream_end/0x7f".to_owned()), "{all:?}");
        assert_eq!(all.last().map(String::as_str), Some("close-at-producer"));
    }

    #[test]
    fn cases_are_selected_by_id_and_pattern() {
        assert_eq!(selected(&["orphan/prepare/keyenoent"]), ["orphan/prepare/KeyEnoent"]);
        assert_eq!(selected(&["orphan/prepare/*"]).len(), 13);
        assert_eq!(selected(&["*/KeyEnoent"]).len(), 9);
        assert_eq!(selected(&["orphan/*/0x7f", "close-*"]).len(), 10);
        assert_eq!(selected(&["*"]).len(), 9 * 13 + 1);
        let error = select(all(), &["orphan/prepare".to_owned()]).unwrap_err().to_string();
        assert!(
            error.ends_with("found 'orphan/prepare'") && error.contains("orphan/snapshot_marker/Success"),
            "{error}"
        );
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is) in [
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("", "", true),
            ("", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }
}
