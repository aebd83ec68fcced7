use std::collections::BTreeMap;

use super::Era;

/// What a producer let be seen of its era.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// What it answered to VERSION, such as `7.0.5-7659`.
    pub version: Option<String>,
    /// A DCP_OPEN with flag 0x100 (include deleted user xattrs), and whether it was accepted.
    pub deleted_user_xattrs: Option<bool>,
    /// It sent CACHE_TRANSFER or CACHE_TRANSFER_END.
    pub cache_transfer: bool,
    controls: BTreeMap<String, bool>,
}

impl Evidence {
    /// Notes the answer to a control. A key that was accepted once counts as accepted; what only says that the value was
    /// wrong (`v7_dcp_status_codes=false` is refused by those who know it, real-servers.md §5) is left out.
    pub fn control(&mut self, key: &str, value: &str, accepted: bool) {
        if RULES.iter().any(|rule| rule.control == key) && (accepted || value == "true") {
            let known = self.controls.entry(key.to_owned()).or_default();
            *known |= accepted;
        }
    }

    /// What was answered to the control, if it was asked.
    pub fn accepted(&self, key: &str) -> Option<bool> {
        self.controls.get(key).copied()
    }
}

/// What the answer to a control says. Where `refused` is missing, there are other reasons to refuse the control
/// (dcp-protocol.md §2.2).
struct Rule {
    control: &'static str,
    accepted: (Era, Era),
    refused: Option<(Era, Era)>,
}

const RULES: [Rule; 8] = [
    Rule { control: "enable_synchronous_replication", accepted: (Era::V2019_07, Era::V2019_07), refused: None },
    Rule { control: "enable_sync_writes", accepted: (Era::V6_5, Era::Master), refused: None },
    Rule { control: "include_deleted_user_xattrs", accepted: (Era::V6_6, Era::Master), refused: None },
    Rule { control: "v7_dcp_status_codes", accepted: (Era::V7_0, Era::Master), refused: Some((Era::V6_0, Era::V6_6)) },
    Rule { control: "flatbuffers_system_events", accepted: (Era::V7_0, Era::Master), refused: None },
    Rule { control: "change_streams", accepted: (Era::V7_0, Era::Master), refused: None },
    Rule { control: "max_marker_version", accepted: (Era::V7_0, Era::Master), refused: None },
    Rule { control: "cache_transfer", accepted: (Era::Master, Era::Master), refused: None },
];

/// One thing that was seen, and the eras that it leaves.
struct Clue {
    text: String,
    first: Era,
    last: Era,
}

/// The era of a producer, and in words how it was found. Where the evidence does not single one out, or contradicts
/// itself, it is [`Era::V2019_07`], the requirement of MB-35287 itself.
pub fn detect(evidence: &Evidence) -> (Era, String) {
    let clues = clues(evidence);
    if clues.is_empty() {
        let reason = match &evidence.version {
            None => "nothing that was negotiated tells the release, and it has not said its version".to_owned(),
            Some(version) => {
                format!("nothing that was negotiated tells the release, nor does its version '{version}'")
            }
        };
        return fallback(&reason);
    }
    let seen = clues.iter().map(|clue| clue.text.as_str()).collect::<Vec<_>>().join(", ");
    let first = clues.iter().map(|clue| clue.first).max().unwrap_or(Era::V6_0);
    let last = clues.iter().map(|clue| clue.last).min().unwrap_or(Era::Master);
    match (first, last) {
        (first, last) if first > last => fallback(&format!("the evidence contradicts itself ({seen})")),
        (first, last) if first == last => (first, format!("{first}: {seen}")),
        (Era::V7_0, Era::Master) => {
            (Era::V7_0, format!("7.0 or later: {seen}; later releases differ only in cache transfer messages"))
        }
        (Era::V2019_07, Era::V6_5) => {
            fallback(&format!("{seen}, which 6.5.0 and the development builds before it have in common"))
        }
        (Era::V6_0, last) => fallback(&format!("{last} or earlier ({seen}), and no more is known")),
        (first, Era::Master) => fallback(&format!("{first} or later ({seen}), and no more is known")),
        (first, last) => fallback(&format!("between {first} and {last} ({seen}), and no more is known")),
    }
}

fn fallback(reason: &str) -> (Era, String) {
    (Era::V2019_07, format!("cannot tell the era: {reason}; judged by the requirement of MB-35287 itself (2019-07)"))
}

fn clues(evidence: &Evidence) -> Vec<Clue> {
    let mut clues = Vec::new();
    if let Some(version) = &evidence.version
        && let Some((first, last)) = eras_of_version(version)
    {
        clues.push(Clue { text: format!("its version is '{version}'"), first, last });
    }
    for rule in &RULES {
        let (verb, eras) = match evidence.accepted(rule.control) {
            Some(true) => ("accepted", Some(rule.accepted)),
            Some(false) => ("refused", rule.refused),
            None => continue,
        };
        if let Some((first, last)) = eras {
            clues.push(Clue { text: format!("it {verb} {}", rule.control), first, last });
        }
    }
    if evidence.deleted_user_xattrs == Some(true) {
        clues.push(Clue { text: "it accepted the open flag 0x100".to_owned(), first: Era::V6_6, last: Era::Master });
    }
    if evidence.cache_transfer {
        clues.push(Clue { text: "it sent cache transfer messages".to_owned(), first: Era::Master, last: Era::Master });
    }
    clues
}

/// The eras that a version text leaves. The builds of July 2019 and a 6.5.0 built by hand all say `6.5.0-0000`
/// (real-servers.md §4).
fn eras_of_version(version: &str) -> Option<(Era, Era)> {
    let (release, build) = version.trim().split_once('-').unwrap_or((version.trim(), ""));
    let mut parts = release.split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 = parts.next()?.parse().ok()?;
    let no_build = build.split('-').next().is_some_and(|digits| digits.bytes().all(|digit| digit == b'0'));
    let era = match (major, minor) {
        (0, _) => return None,
        (6, 5) if release == "6.5.0" && no_build => return Some((Era::V2019_07, Era::V6_5)),
        (..6, _) | (6, ..5) => Era::V6_0,
        (6, 5) => Era::V6_5,
        (6, _) => Era::V6_6,
        (7, _) | (8, 0) => Era::V7_0,
        (8.., _) => Era::Master,
    };
    Some((era, era))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(version: Option<&str>, controls: &[(&str, bool)]) -> Evidence {
        let mut evidence = Evidence { version: version.map(str::to_owned), ..Evidence::default() };
        for &(key, accepted) in controls {
            evidence.control(key, "true", accepted);
        }
        evidence
    }

    fn era(version: Option<&str>, controls: &[(&str, bool)]) -> Era {
        detect(&evidence(version, controls)).0
    }

    #[test]
    fn a_release_is_its_era() {
        for (version, expected) in [
            ("4.6.5-4742", Era::V6_0),
            ("5.0.0-0000", Era::V6_0),
            ("6.0.5-3340", Era::V6_0),
            ("6.5.0-4960", Era::V6_5),
            ("6.5.2-0000", Era::V6_5),
            ("6.6.0-7909-enterprise", Era::V6_6),
            ("7.0.5-7659", Era::V7_0),
            ("7.6.2", Era::V7_0),
            ("8.0.1-1234", Era::V7_0),
            ("8.1.0-1000", Era::Master),
            ("9.0.0-1", Era::Master),
        ] {
            let (era, reason) = detect(&evidence(Some(version), &[]));
            assert_eq!(era, expected, "{version}");
            assert_eq!(reason, format!("{expected}: its version is '{version}'"));
        }
    }

    #[test]
    fn a_build_without_number_of_6_5_0_needs_a_control() {
        let version = Some("6.5.0-0000");
        let (era_alone, reason) = detect(&evidence(version, &[]));
        assert_eq!(era_alone, Era::V2019_07);
        assert!(reason.starts_with("cannot tell the era: its version is '6.5.0-0000', which 6.5.0 and"), "{reason}");
        assert_eq!(era(version, &[("enable_sync_writes", true)]), Era::V6_5);
        let (era, reason) = detect(&evidence(version, &[("enable_synchronous_replication", true)]));
        assert_eq!(era, Era::V2019_07);
        assert!(!reason.contains("cannot tell"), "{reason}");
        assert_eq!(detect(&evidence(Some("6.5.0"), &[])).0, Era::V2019_07);
    }

    #[test]
    fn controls_alone_where_they_suffice() {
        assert_eq!(era(None, &[("v7_dcp_status_codes", true)]), Era::V7_0);
        assert_eq!(era(None, &[("v7_dcp_status_codes", false), ("include_deleted_user_xattrs", true)]), Era::V6_6);
        for key in ["flatbuffers_system_events", "change_streams", "max_marker_version"] {
            let mut evidence = Evidence::default();
            evidence.control(key, "2.2", true);
            assert_eq!(detect(&evidence).0, Era::V7_0, "{key}");
        }
        let mut flag = evidence(None, &[("v7_dcp_status_codes", false)]);
        flag.deleted_user_xattrs = Some(true);
        assert_eq!(detect(&flag).0, Era::V6_6);
        let master = Evidence { cache_transfer: true, ..Evidence::default() };
        assert_eq!(detect(&master), (Era::Master, "master: it sent cache transfer messages".to_owned()));
    }

    #[test]
    fn what_is_not_enough_falls_back_and_says_why() {
        for (version, controls, words) in [
            (None, &[][..], "has not said its version"),
            (Some("unknown"), &[], "nor does its version 'unknown'"),
            (Some("0.0.0-0000"), &[], "nor does its version"),
            (None, &[("enable_sync_writes", true)], "6.5 or later (it accepted enable_sync_writes), and no more"),
            (None, &[("v7_dcp_status_codes", false)], "6.6 or earlier (it refused v7_dcp_status_codes)"),
            (
                None,
                &[("enable_sync_writes", true), ("v7_dcp_status_codes", false)],
                "between 6.5 and 6.6 (it accepted enable_sync_writes, it refused v7_dcp_status_codes)",
            ),
            (Some("7.0.5-7659"), &[("v7_dcp_status_codes", false)], "contradicts itself"),
            (None, &[("change_streams", false), ("enable_sync_writes", false)], "nothing that was negotiated"),
        ] {
            let (era, reason) = detect(&evidence(version, controls));
            assert_eq!(era, Era::V2019_07, "{reason}");
            assert!(reason.starts_with("cannot tell the era: ") && reason.contains(words), "{reason}");
            assert!(reason.ends_with("judged by the requirement of MB-35287 itself (2019-07)"), "{reason}");
        }
    }

    #[test]
    fn a_refused_false_says_nothing() {
        let mut seen = Evidence { version: Some("7.0.5-7659".into()), ..Evidence::default() };
        seen.control("v7_dcp_status_codes", "false", false);
        assert_eq!(detect(&seen).0, Era::V7_0);
        seen.control("v7_dcp_status_codes", "true", true);
        seen.control("v7_dcp_status_codes", "true", false);
        assert_eq!(seen.accepted("v7_dcp_status_codes"), Some(true));
    }
}
