use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::dcp::Feature;
use crate::dcp::Negotiated;
use crate::dcp::Open;
use crate::wire::Status;

/// Control keys that are kept; kv_engine knows some twenty.
const MAX_CONTROLS: usize = 256;
/// Bytes of a control's key or value that are worth keeping.
const MAX_CONTROL_LEN: usize = 1_024;
/// Features that are kept of one HELLO.
const MAX_FEATURES: usize = 1_024;

/// What became of a control that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control<'a> {
    /// It was answered with Success; the value that holds.
    Accepted(&'a str),
    /// It was answered with an error, and no earlier value holds.
    Refused {
        /// The error.
        status: Status,
        /// The value that was refused.
        value: &'a str,
    },
    /// It was not answered yet, and no earlier value holds.
    Pending,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    /// The request's number and its value, oldest first: answers carry no key.
    pending: Vec<(u64, String)>,
    accepted: Option<String>,
    refused: Option<(Status, String)>,
}

/// The features that HELLO asked for and got.
#[derive(Clone, Debug, Default)]
pub struct Features {
    asked: BTreeSet<u16>,
    accepted: BTreeSet<u16>,
}

impl Features {
    /// Whether the last HELLO's answer has `feature`.
    pub fn has(&self, feature: u16) -> bool {
        self.accepted.contains(&feature)
    }

    /// The features that the last HELLO's answer has, ascending.
    pub fn accepted(&self) -> impl Iterator<Item = u16> {
        self.accepted.iter().copied()
    }

    /// The features that were asked for and not granted, ascending.
    pub fn refused(&self) -> impl Iterator<Item = u16> {
        self.asked.difference(&self.accepted).copied()
    }

    pub(super) fn asked_for(&mut self, features: impl IntoIterator<Item = u16>) {
        self.asked = features.into_iter().take(MAX_FEATURES).collect();
        self.accepted.clear();
    }

    pub(super) fn granted(&mut self, features: impl IntoIterator<Item = u16>) {
        self.accepted = features.into_iter().take(MAX_FEATURES).collect();
    }
}

/// The controls that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    by_key: BTreeMap<String, Asked>,
    overflowed: bool,
}

impl Controls {
    /// What became of the control `key`; `None` where it was never asked for.
    pub fn control(&self, key: &str) -> Option<Control<'_>> {
        let asked = self.by_key.get(key)?;
        Some(match (&asked.accepted, &asked.refused) {
            (Some(value), _) => Control::Accepted(value),
            (None, Some((status, value))) if asked.pending.is_empty() => Control::Refused { status: *status, value },
            (None, _) => Control::Pending,
        })
    }

    /// The value of the control `key` that holds.
    pub fn accepted(&self, key: &str) -> Option<&str> {
        self.by_key.get(key)?.accepted.as_deref()
    }

    /// Whether the control `key` holds with the value `true`.
    pub fn is_true(&self, key: &str) -> bool {
        self.accepted(key) == Some("true")
    }

    /// All controls that were asked for, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Control<'_>)> {
        self.by_key.keys().filter_map(|key| Some((key.as_str(), self.control(key)?)))
    }

    /// Whether controls were left out because there were too many, or they were too long.
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub(super) fn ask(&mut self, serial: u64, key: &str, value: &str) {
        let too_many = self.by_key.len() >= MAX_CONTROLS && !self.by_key.contains_key(key);
        if too_many || key.len() > MAX_CONTROL_LEN || value.len() > MAX_CONTROL_LEN {
            self.overflowed = true;
            return;
        }
        let asked = self.by_key.entry(key.to_owned()).or_default();
        if asked.pending.len() >= MAX_CONTROLS {
            asked.pending.remove(0);
            self.overflowed = true;
        }
        asked.pending.push((serial, value.to_owned()));
    }

    /// The control asked for by the request `serial` was answered. Returns its key and value where it was accepted.
    pub(super) fn answered(&mut self, serial: u64, status: Status) -> Option<(&str, &str)> {
        let holds = |asked: &Asked| asked.pending.iter().any(|(number, _)| *number == serial);
        let (key, asked) = self.by_key.iter_mut().find(|(_, asked)| holds(asked))?;
        let at = asked.pending.iter().position(|(number, _)| *number == serial)?;
        let (_, value) = asked.pending.remove(at);
        if status != Status::SUCCESS {
            asked.refused = Some((status, value));
            return None;
        }
        asked.refused = None;
        Some((key, asked.accepted.insert(value)))
    }
}

/// What HELLO and the controls say of how frames are to be read.
pub(super) fn negotiated(features: &Features, controls: &Controls, open_flags: u32) -> Negotiated {
    Negotiated {
        collections: features.has(Feature::COLLECTIONS),
        snappy: features.has(Feature::SNAPPY) || features.has(Feature::SNAPPY_EVERYWHERE),
        xattr: features.has(Feature::XATTR),
        stream_id: controls.is_true("enable_stream_id"),
        flatbuffers: controls.is_true("flatbuffers_system_events"),
        include_delete_times: open_flags & Open::INCLUDE_DELETE_TIMES != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_counts_once_it_is_accepted() {
        let mut controls = Controls::default();
        assert_eq!(controls.control("enable_noop"), None);
        controls.ask(1, "enable_noop", "true");
        controls.ask(2, "nonsense", "1");
        assert_eq!(controls.control("enable_noop"), Some(Control::Pending));
        assert!(!controls.is_true("enable_noop"));
        assert_eq!(controls.answered(2, Status::EINVAL), None);
        assert_eq!(controls.control("nonsense"), Some(Control::Refused { status: Status::EINVAL, value: "1" }));
        assert_eq!(controls.answered(1, Status::SUCCESS), Some(("enable_noop", "true")));
        assert!(controls.is_true("enable_noop"));
    }

    #[test]
    fn a_refused_change_leaves_the_value_that_holds() {
        let mut controls = Controls::default();
        controls.ask(1, "connection_buffer_size", "100");
        controls.ask(2, "connection_buffer_size", "-5");
        controls.answered(1, Status::SUCCESS);
        controls.answered(2, Status::EINVAL);
        assert_eq!(controls.control("connection_buffer_size"), Some(Control::Accepted("100")));
    }

    #[test]
    fn endless_controls_are_not_kept() {
        let mut controls = Controls::default();
        for serial in 0..100_000 {
            controls.ask(serial, &format!("key {serial}"), "v");
            controls.ask(serial, "one", "v");
        }
        assert!(controls.by_key.len() <= MAX_CONTROLS && controls.overflowed());
        assert!(controls.by_key.values().all(|asked| asked.pending.len() <= MAX_CONTROLS));
    }
}
