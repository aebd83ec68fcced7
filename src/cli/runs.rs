//! The runs of the proxy that recordings are of: what they were judged by, so that they are judged so again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::capture::Identity;
use crate::capture::Remark;
use crate::era::Era;
use crate::journal::Side;
use crate::net::Run;
use crate::scenario::judge::Terms;
use crate::verdict::Judge;
use crate::wire::Opcode;

/// What is asked for on the command line in the place of what a run was judged by.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) era: Option<Era>,
    pub(super) messages: Option<BTreeSet<Opcode>>,
    pub(super) judge: Option<Judge>,
}

impl Asked {
    /// The run's own terms, but for what is asked for.
    pub(super) fn instead(&self, terms: &Terms) -> Terms {
        let terms = terms.clone();
        Terms {
            era: self.era.or(terms.era),
            messages: self.messages.clone().unwrap_or(terms.messages),
            judge: self.judge.unwrap_or(terms.judge),
            ..terms
        }
    }
}

/// The connections of runs that are open.
#[derive(Debug, Default)]
pub(super) struct Runs {
    open: BTreeMap<u32, (Identity, Option<Run>)>,
}

/// What a comment tells of a connection.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// It is the half towards the end that dialled the proxy: the proxy is no producer.
    NoProducer,
    /// It is the half towards the end that the proxy dialled, and was judged so.
    Judged(Identity, &'a Terms),
}

impl Runs {
    /// Takes in a comment.
    pub(super) fn comment(&mut self, conn: u32, text: &str) -> Option<Told<'_>> {
        match text.parse().ok()? {
            // Each of the files of a rotated recording says both anew.
            Remark::Connection(identity) => {
                let is_new = !self.open.contains_key(&conn);
                self.open.entry(conn).or_insert((identity, None));
                (is_new && identity.edge == Side::Dialler).then_some(Told::NoProducer)
            }
            Remark::Terms(terms) => {
                let (identity, run) = self.open.get_mut(&conn)?;
                if identity.edge == Side::Dialler || run.is_some() {
                    return None;
                }
                let run = run.insert(terms.parse().ok()?);
                Some(Told::Judged(*identity, &run.terms))
            }
            Remark::Act(_)
            | Remark::Paused(_)
            | Remark::Injected(_)
            | Remark::Withheld(_)
            | Remark::Swallowed(_)
            | Remark::Cut(..)
            | Remark::Replaced(_)
            | Remark::Garbled(_)
            | Remark::Lost { .. }
            | Remark::Joined(_)
            | Remark::Over(_) => None,
        }
    }

    /// The run that a connection, which has ended, was one of.
    pub(super) fn take(&mut self, conn: u32) -> Option<Run> {
        self.open.remove(&conn)?.1
    }
}
