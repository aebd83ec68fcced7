use std::collections::BTreeMap;

use crate::Timestamp;
use crate::capture::write::Ends;
use crate::report::{Connection, Report};
use crate::scenario::Plan;
use crate::scenario::judge::{Judgement, not_enough};
use crate::verdict::{Finding, Judge};

/// What the connections of a proxy came to, the latest one by one.
#[derive(Clone, Debug, Default)]
pub struct Past {
    connections: BTreeMap<u64, Connection>,
    /// What those came to that are no longer listed, and how many they are.
    unlisted: Option<(Report, u64)>,
    has_producer: bool,
    errors: Vec<String>,
}

/// Connections that a report lists; a proxy may serve for weeks.
const MAX_LISTED: usize = 10_000;
/// Lines about what went wrong that are kept.
const MAX_ERRORS: usize = 1_000;

impl Past {
    /// One more connection, and whether it had an end that is judged.
    pub fn add(&mut self, connection: Connection, judge: Judge, has_producer: bool) {
        self.has_producer |= has_producer;
        self.connections.insert(connection.id, connection);
        if self.connections.len() > MAX_LISTED
            && let Some((_, earliest)) = self.connections.pop_first()
        {
            let (report, unlisted) = self.unlisted.get_or_insert_with(|| (Report::new(judge), 0));
            report.add_connection(earliest);
            report.connections.clear();
            *unlisted += 1;
        }
    }

    /// One that goes on, as it stands.
    pub fn add_open(&mut self, judgement: Judgement, judge: Judge) {
        self.add(judgement.connection, judge, judgement.has_producer || judgement.has_consumer);
    }

    /// One that goes on and did not say how it stands.
    pub fn add_silent(&mut self, id: u64, ends: &Ends, judge: Judge) {
        let mut connection = Connection::new(id, ends.dialler.to_string(), ends.upstream.to_string());
        let finding = not_enough("a connection that says how it stands", "it did not answer in time");
        connection.add_finding(finding, judge, None, Timestamp::default());
        self.add(connection, judge, false);
    }

    /// Whether one of this number is listed.
    pub fn has(&self, id: u64) -> bool {
        self.connections.contains_key(&id)
    }

    /// Something kept the run from being whole: one line.
    pub fn error(&mut self, told: String) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(told);
        }
    }

    /// How many connections there were.
    pub fn len(&self) -> u64 {
        self.unlisted.as_ref().map_or(0, |(_, unlisted)| *unlisted) + self.connections.len() as u64
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of them had an end that is judged.
    pub const fn has_producer(&self) -> bool {
        self.has_producer
    }

    /// What all of them come to together.
    pub fn report(self, plan: &Plan, judge: Judge) -> Report {
        let mut report = Report::new(judge);
        if let Some((unlisted, count)) = self.unlisted {
            report = unlisted;
            let told = format!("{count} connections, the earliest, are part of the verdict and the matrix only");
            report.add_finding(&Finding::pass("connections-listed", "the latest connections are listed").actual(told));
        }
        report.seed = Some(plan.seed);
        report.scenarios = plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect();
        for connection in self.connections.into_values() {
            report.add_connection(connection);
        }
        report.errors = self.errors;
        report
    }
}

/// That nothing was there to judge (law L7); `connections` is how many there were.
pub fn no_producer(connections: u64) -> Finding {
    let found = match connections {
        0 => "no connection came",
        _ => "no DCP_OPEN with the producer flag was accepted",
    };
    not_enough("a DCP connection whose producer was dialled", found)
}
